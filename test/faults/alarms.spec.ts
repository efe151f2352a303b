import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Test } from '@nestjs/testing';
import {
  MemoryBackend,
  SESSION_CLOCK,
  SessionBackendError,
  SessionGuard,
  SessionModule,
  SessionUsageError,
  type SessionRecord,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';
import { setTimeout as sleep } from 'node:timers/promises';

import { SECRET_KEY } from '../support/apps.js';
import { startService } from '../support/services.js';

const never = () => new Promise<never>(() => undefined);

/** A store of which a test can make each call fail in its own way. */
class TroubledBackend extends MemoryBackend {
  beforeRead: () => Promise<unknown> = () => Promise.resolve();
  beforeReplace: () => Promise<unknown> = () => Promise.resolve();
  beforeClearing: () => Promise<unknown> = () => Promise.resolve();

  override async read(id: SessionRecord['id']): Promise<SessionRecord | null> {
    await this.beforeRead();
    return super.read(id);
  }

  override async replace(...args: Parameters<MemoryBackend['replace']>): ReturnType<MemoryBackend['replace']> {
    const outcome = await this.beforeReplace();
    return (outcome as 'missing' | undefined) ?? super.replace(...args);
  }

  override async clearExpired(): Promise<number> {
    await this.beforeClearing();
    return super.clearExpired();
  }
}

describe('an outage of the store', () => {
  let backend: TroubledBackend;
  let error: jest.SpiedFunction<Logger['error']>;
  let log: jest.SpiedFunction<Logger['log']>;

  beforeEach(() => {
    backend = new TroubledBackend();
    error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    log = jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
  });

  afterEach(() => {
    error.mockRestore();
    log.mockRestore();
  });

  const works = () => log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes('works again'));

  async function service(backendTimeout: number) {
    const started = await startService(backend, { backendTimeout });
    const { session } = await started.sessions.createSession();
    const change = () => started.sessions.update(session.sessionId, ({ data }) => void (data.n = Math.random()));
    return { ...started, change };
  }

  it('is not what a request makes of its own time: a call with a part of it that times out', async () => {
    const { change, close } = await service(1_000);
    backend.beforeRead = () => sleep(50);
    backend.beforeReplace = never;
    await expect(change()).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT', status: 503 });
    expect(error).not.toHaveBeenCalled();
    expect(works()).toEqual([]);
    await close();
  });

  it('is a call with all of its time that times out, said once', async () => {
    const { change, close } = await service(50);
    backend.beforeRead = never;
    await expect(change()).rejects.toThrow(SessionBackendError);
    await expect(change()).rejects.toThrow(SessionBackendError);
    expect(error.mock.calls).toEqual([[expect.stringContaining('The session store fails (read)')]]);
    backend.beforeRead = () => Promise.resolve();
    await change();
    expect(works()).toEqual(['The session store works again (read).']);
    await close();
  });

  it('is a driver that fails, whatever time the request has left', async () => {
    const { change, close } = await service(10_000);
    backend.beforeRead = () => sleep(5);
    backend.beforeReplace = () => Promise.reject(new Error('broken pipe to 10.0.0.1'));
    await expect(change()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', status: 503 });
    expect(error.mock.calls).toEqual([[expect.stringContaining('The session store fails (write)')]]);
    expect(String(error.mock.calls)).not.toContain('10.0.0.1');
    await close();
  });

  it('is a response that the contract does not allow', async () => {
    const { change, close } = await service(10_000);
    backend.beforeReplace = () => Promise.resolve('perhaps');
    await expect(change()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', status: 503 });
    expect(error.mock.calls).toEqual([[expect.stringContaining('the SessionBackend contract does not allow')]]);
    await close();
  });

  it.each(['changed', 'missing'] as const)(
    'is no %s of a login that replaces nothing, which is a 503',
    async (outcome) => {
      const broken = new MemoryBackend();
      broken.create = () => Promise.resolve({ outcome });
      const service = await startService(broken);
      await expect(service.sessions.createSession({ user: { userId: 'ann' } })).rejects.toMatchObject({ status: 503 });
      await service.close();
    },
  );

  it('is not an error of this module that a backend throws, such as of a record of a later version', async () => {
    const { change, close } = await service(10_000);
    backend.beforeReplace = () =>
      Promise.reject(new SessionBackendError('BACKEND_RECORD_NEWER', 'A later version has written it.'));
    await expect(change()).rejects.toMatchObject({ code: 'BACKEND_RECORD_NEWER', status: 503 });
    expect(error).not.toHaveBeenCalled();
    await close();
  });

  it('is not a sweep that takes its time, which has no limit', async () => {
    const { sessions, clock, close } = await service(20);
    clock.advanceSeconds(3_601);
    let letGo!: () => void;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    backend.beforeClearing = () => gate;
    const sweep = sessions.clearExpiredSessions();
    const early = await Promise.race([sweep.catch(() => 'cut off'), sleep(100, 'still under way')]);
    expect(early).toBe('still under way');
    letGo();
    expect(await sweep).toBe(1);
    expect(error).not.toHaveBeenCalled();
    await close();
  });
});

describe('a guard for all routes of an application that takes messages too', () => {
  it('says once a minute that it is for HTTP, however many messages come', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const clock = new FakeClock();
    const application = await Test.createTestingModule({
      imports: [
        SessionModule.forRoot({
          secretKey: SECRET_KEY,
          extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
        }),
      ],
      providers: [SessionGuard],
    }).compile();
    const message = new ExecutionContextHost([{}, {}], SessionGuard, () => undefined);
    message.setType('rpc');
    const arrive = () => application.get(SessionGuard).canActivate(message);
    for (let count = 0; count < 100; count++) await expect(arrive()).rejects.toThrow(SessionUsageError);
    expect(error.mock.calls).toEqual([
      [expect.stringContaining('this context is of type "rpc"'), expect.stringContaining('canActivate')],
    ]);
    clock.advanceSeconds(60);
    await expect(arrive()).rejects.toThrow(SessionUsageError);
    expect(error).toHaveBeenCalledTimes(2);
    error.mockRestore();
  });
});
