import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { encodeRecord, MemoryBackend, SessionNotFoundError } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

describe('P11: foreign and damaged records are no session', () => {
  let redis: RedisServer;
  let observer: Redis;
  let service: ServiceUnderTest;
  let warn: jest.SpiedFunction<Logger['warn']>;

  beforeAll(async () => {
    redis = await RedisServer.start();
    observer = redis.client();
    service = await startService(new RedisBackend(redis.url));
  });

  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });

  afterEach(() => warn.mockRestore());

  afterAll(async () => {
    await service.close();
    await observer.quit();
    await redis.stop();
  });

  async function sessionWithKey() {
    const { session, token } = await service.sessions.createSession({
      user: { userId: 'ann' },
      data: { secret: 'the content' },
    });
    const key = `session:{${session.sessionId.slice(0, 16)}}${session.sessionId.slice(16)}`;
    return { session, token, key, text: (await observer.get(key)) ?? '' };
  }

  async function expectAbsent(token: string, sessionId: string): Promise<void> {
    await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(String(warn.mock.calls[0]?.[0])).not.toContain('the content');
    await expect(service.sessions.update(sessionId, () => undefined)).rejects.toThrow(SessionNotFoundError);
    await service.sessions.listUserSessions('ann');
  }

  const damages: [name: string, damage: (text: string) => string][] = [
    ['empty', () => ''],
    ['of another program', () => '{"cookie":{},"user":1}'],
    ['cut off', (text) => text.slice(0, -20)],
    ['cut off in the head', (text) => text.slice(0, 30)],
    ['binary', () => '\u0000\u0001\uFFFF'],
    ['of JSON that is not ours', (text) => text.replace(/\n[^]*/, '\nnull\nnull\n{}\n[]')],
    ['with a user that is none', (text) => text.replace(/\{"roles"[^\n]*/, '{"userId":7}')],
    ['with data that is a list', (text) => text.replace('{"secret":"the content"}', '[]')],
    ['with flash messages that are none', (text) => text.replace(/\[\]$/, '[1]')],
    ['with a line too many', (text) => `${text}\n{}`],
  ];

  it.each(damages)('one that is %s', async (_name, damage) => {
    const { session, token, key, text } = await sessionWithKey();
    await observer.set(key, damage(text));
    await expectAbsent(token, session.sessionId);
  });

  it('one of another type', async () => {
    const { session, token, key } = await sessionWithKey();
    await observer.del(key);
    await observer.hset(key, 'a', 'b');
    await expectAbsent(token, session.sessionId);
    expect(await observer.hget(key, 'a')).toBe('b');
  });

  it("another session's, copied to this key: nobody gets another user's session", async () => {
    const victim = await service.sessions.createSession({ user: { userId: 'victim' } });
    const { session, token, key } = await sessionWithKey();
    const id = victim.session.sessionId;
    await observer.set(key, (await observer.get(`session:{${id.slice(0, 16)}}${id.slice(16)}`)) ?? '');
    await expectAbsent(token, session.sessionId);
  });

  it('one whose head has letters for digits does not stop a logout everywhere', async () => {
    const [damaged, other] = [await sessionWithKey(), await sessionWithKey()];
    await observer.set(damaged.key, `sx1 0000000001 a u ${'x'.repeat(14)} ${'y'.repeat(14)}\n{}`);
    await service.sessions.deleteUserSessions('ann');
    await expect(service.sessions.getSession(other.token)).rejects.toThrow(SessionNotFoundError);
  });

  it('one of a newer schema is a 503, neither read nor overwritten nor deleted', async () => {
    const { session, token, key, text } = await sessionWithKey();
    const newer = text.replace('{"schema":1,', '{"schema":2,"more":true,');
    await observer.set(key, newer);
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({
      code: 'BACKEND_RECORD_NEWER',
      status: 503,
    });
    await expect(service.sessions.update(session.sessionId, () => undefined)).rejects.toMatchObject({ status: 503 });
    expect(await observer.get(key)).toBe(newer);
  });

  it('one whose head is of a newer form is a 503 too', async () => {
    const { token, key, text } = await sessionWithKey();
    await observer.set(key, text.replace('sx1 ', 'sx2 '));
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'BACKEND_RECORD_NEWER' });
  });

  it('on memory too', async () => {
    const backend = new MemoryBackend();
    const local = await startService(backend);
    const { session, token } = await local.sessions.createSession();
    const record = (await backend.read(session.sessionId))!;
    await backend.replace({ ...record, version: 2, payload: 'garbage' }, 1);
    await expect(local.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(encodeRecord(record)).toMatch(/^sx1 0000000001 a s \d{14} \d{14}\n\{"schema":1,/);
    await local.close();
  });
});
