import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { SessionBackendError, SessionEvents, type SessionEvent } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { outcomes, startService, type ServiceUnderTest } from '../support/services.js';

beforeEach(() => {
  for (const level of ['error', 'log'] as const)
    jest.spyOn(Logger.prototype, level).mockImplementation(() => undefined);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe.each(everyBackend().map((store) => [store.name, store] as const))('an outage of %s', (_, store) => {
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let token: string;
  let sessionId: string;

  beforeEach(async () => {
    await store.start();
    barrier = new BarrierBackend(store.another());
    one = await startService(barrier.backend);
    two = await startService(store.another());
    const issued = await one.sessions.createSession();
    ({ token } = issued);
    ({ sessionId } = issued.session);
    one.events.length = 0;
  });

  afterEach(async () => {
    await one.close();
    await two.close();
    await store.stop();
  });

  const ofStore = ({ events }: ServiceUnderTest): SessionEvent[] =>
    events.filter(({ type }) => type === 'store-down' || type === 'store-up');
  const read = () => one.sessions.getSession(token);
  const write = () => one.sessions.deleteSession(sessionId);

  it('is one event for its start and one for its end, however many requests fail at once', async () => {
    barrier.fail('read');
    const { errors } = await outcomes(Array.from({ length: 20 }, read));
    expect(errors).toHaveLength(20);
    const down = { type: 'store-down', calls: 'read', reason: 'BACKEND_UNAVAILABLE', at: one.clock.now() };
    expect(ofStore(one)).toEqual([down]);
    one.clock.advanceSeconds(30);
    await expect(read()).rejects.toThrow(SessionBackendError);
    expect(ofStore(one)).toEqual([down]);
    barrier.heal();
    await Promise.all(Array.from({ length: 20 }, read));
    expect(ofStore(one)).toEqual([down, { type: 'store-up', calls: 'read', at: one.clock.now() }]);
    barrier.fail('read');
    await expect(read()).rejects.toThrow(SessionBackendError);
    expect(ofStore(one).slice(2)).toMatchObject([{ type: 'store-down', calls: 'read' }]);
  });

  it('of a part, in which calls fail and succeed by turns, has one more event for each, and ends when none has failed for ten seconds', async () => {
    for (let turn = 0; turn < 20; turn++) {
      barrier.fail('read');
      await expect(read()).rejects.toThrow(SessionBackendError);
      barrier.heal();
      await read();
    }
    const types = () => ofStore(one).map(({ type }) => type);
    expect(types()).toEqual(['store-down', 'store-up', 'store-down']);
    one.clock.advanceSeconds(9.999);
    await read();
    expect(types()).toHaveLength(3);
    one.clock.advanceSeconds(0.001);
    await read();
    expect(types().slice(3)).toEqual(['store-up']);
  });

  it('is told apart for reads and writes, and by instance', async () => {
    barrier.fail('delete');
    await expect(write()).rejects.toThrow(SessionBackendError);
    await read();
    expect(ofStore(one)).toMatchObject([{ type: 'store-down', calls: 'write', reason: 'BACKEND_UNAVAILABLE' }]);
    await two.sessions.getSession(token);
    expect(ofStore(two)).toEqual([]);
    barrier.heal();
    await write();
    expect(ofStore(one).slice(1)).toMatchObject([{ type: 'store-up', calls: 'write' }]);
  });

  it('begins with a call that had all of its time and got no response', async () => {
    const { letGo } = barrier.stopNext('read');
    await expect(read()).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT' });
    expect(ofStore(one)).toMatchObject([{ type: 'store-down', calls: 'read', reason: 'BACKEND_TIMEOUT' }]);
    letGo();
    await read();
    expect(ofStore(one).slice(1)).toMatchObject([{ type: 'store-up', calls: 'read' }]);
  });

  it('changes nothing for a request whose listener throws, or uses the store itself', async () => {
    const events = one.context.get(SessionEvents);
    events.on('store-down').subscribe(() => {
      throw new Error('a bug of the listener');
    });
    const nested: unknown[] = [];
    events.on('store-down').subscribe(() => {
      void read().catch((error: unknown) => nested.push(error));
    });
    barrier.fail('read');
    await expect(read()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', status: 503 });
    await expect(read()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', status: 503 });
    expect(nested).toHaveLength(1);
    expect(ofStore(one)).toHaveLength(1);
  });

  it('is nothing that a request causes: a forged token, a session that has ended', async () => {
    await one.sessions.getSession('forged').catch(() => undefined);
    await write();
    await read().catch(() => undefined);
    expect(ofStore(one)).toEqual([]);
  });
});
