import { beforeEach, describe, expect, it } from '@jest/globals';
import { SessionBackendError, SessionNotFoundError, type SessionRecord } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';

import { OPCODES } from '../../src/backends/memcached/binary-request.js';
import { FaultProxy, type RewriteResponse } from '../support/fault-proxy.js';
import { atOnce, startService } from '../support/services.js';
import { ProxiedMemcached, type MemcachedArena } from './memcached-arena.js';

const TIMEOUT_MS = 200;
/** Offsets in the header of a response. */
const [STATUS, BODY_LENGTH, OPAQUE] = [6, 8, 12];
const HEADER_BYTES = 24;
const NOT_FOUND = 1;

/** `response` with the number by which the client tells that it is the response to its request `other`. */
function numberedLike(response: Buffer, other: Buffer): Buffer {
  const copy = Buffer.from(response);
  other.copy(copy, OPAQUE, OPAQUE, OPAQUE + 4);
  return copy;
}

/** `response` to a `get`, as if there were nothing under its key. */
function notFound(response: Buffer): Buffer {
  const keyLength = response.readUInt16BE(2);
  const extrasLength = response.readUInt8(4);
  const key = response.subarray(HEADER_BYTES + extrasLength, HEADER_BYTES + extrasLength + keyLength);
  const head = Buffer.from(response.subarray(0, HEADER_BYTES));
  head.writeUInt8(0, 4);
  head.writeUInt16BE(NOT_FOUND, STATUS);
  head.writeUInt32BE(keyLength, BODY_LENGTH);
  return Buffer.concat([head, key]);
}

function isOfReplace(response: Buffer): boolean {
  return response.readUInt8(1) === OPCODES.replace;
}

const faults: [name: string, rewrite: RewriteResponse][] = [
  ['each response comes twice', (response) => [response, response]],
  ['the response before comes once more, ahead of each', (response, before) => [before ?? response, response]],
  ['each response comes one request later', (_response, before) => (before === null ? [] : [before])],
  [
    'each response comes one request later, under the number that is waited for',
    (response, before) => (before === null ? [] : [numberedLike(before, response)]),
  ],
  [
    'the response before comes once more, under the number that is waited for',
    (response, before) => (before === null ? [response] : [numberedLike(before, response), response]),
  ],
  [
    'a "not found" of another key comes ahead of each, under the number that is waited for',
    (response, before) => (before === null ? [response] : [numberedLike(notFound(before), response), response]),
  ],
  [
    'a "not found" of this very key comes ahead of each, under the number of the request before',
    (response, before) => (before === null ? [response] : [numberedLike(notFound(response), before), response]),
  ],
  [
    'bytes that nobody asked for come ahead of each',
    (response) => [Buffer.concat([Buffer.from('SERVER_ERROR busy\r\n'), response])],
  ],
];

describe('responses that were meant for another request', () => {
  const memcached = ProxiedMemcached.forEachTest(TIMEOUT_MS);
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let backend: MemcachedBackend;
  let sound: MemcachedBackend;

  beforeEach(() => {
    ({ proxy, arena, backend, sound } = memcached);
  });

  async function stored(user = arena.newUser()): Promise<SessionRecord> {
    const record = arena.record(user, `what ${user} has`);
    expect((await sound.create(record, { timeoutMs: 1000 })).outcome).toBe('created');
    return record;
  }

  /** A session is itself or not known; one that does not exist is none or not known. */
  async function expectRight(record: SessionRecord, exists: boolean): Promise<'known' | 'unknown'> {
    try {
      expect(await backend.read(record.id)).toEqual(exists ? record : null);
      return 'known';
    } catch (error) {
      if (error instanceof Error && 'matcherResult' in error) throw error;
      return 'unknown';
    }
  }

  it.each(faults)(
    'make no session of another, nor none of one that lives: %s',
    async (_name, rewrite) => {
      const mine: SessionRecord[] = [];
      for (let count = 0; count < 5; count++) mine.push(await stored());
      const missing = arena.record(arena.newUser());
      const unlisted = { ...(await stored()), payload: 'not listed' };
      await sound.deleteByUser(unlisted.userTag!);
      await backend.ping();
      proxy.rewriteResponses(rewrite);
      for (const record of mine) {
        await expectRight(missing, false);
        await expectRight(record, true);
        await expectRight(record, true);
        await expectRight(unlisted, false);
      }
      await atOnce(40, (index) =>
        index % 4 === 0 ? expectRight(missing, false) : expectRight(mine[index % 5]!, true),
      );
      proxy.heal();
      // What was under way may still take its connection along.
      while ((await expectRight(mine[0]!, true)) === 'unknown');
      for (const record of mine) expect(await expectRight(record, true)).toBe('known');
    },
    60_000,
  );

  it('end no session whose change or renewal is called missing by one of them', async () => {
    const record = await stored();
    await backend.ping();
    const writes = [
      () => backend.replace({ ...record, version: 2, payload: 'next' }, 1),
      () => backend.touch(record.id, { ...record, expiresAt: record.expiresAt + 60_000 }),
    ];
    for (const write of writes) {
      proxy.rewriteResponses((response) => [isOfReplace(response) ? notFound(response) : response]);
      await expect(write()).rejects.toMatchObject({ code: 'FOREIGN_RESPONSE' });
      proxy.heal();
    }
    expect(await backend.read(record.id)).toMatchObject({ id: record.id, status: 'active' });
    await sound.delete(record.id);
    expect(await backend.replace({ ...record, version: 3 }, 2)).toBe('missing');
    expect(await backend.touch(record.id, record)).toBe(false);
  });

  it.each(faults)(
    'are never a 401, nor the session of another user, to the application: %s',
    async (_name, rewrite) => {
      const made = await startService(new MemcachedBackend({ servers: memcached.server.address }));
      const issued = [];
      for (let count = 0; count < 5; count++) {
        issued.push(await made.sessions.createSession({ user: { userId: `user ${count}` } }));
      }
      const ended = await made.sessions.createSession({ user: { userId: 'ended' } });
      await made.sessions.deleteSession(ended.session.sessionId);
      await made.close();
      const service = await startService(new MemcachedBackend({ servers: proxy.address }), {
        backendTimeout: TIMEOUT_MS,
      });
      proxy.rewriteResponses(rewrite);
      for (let round = 0; round < 3; round++) {
        await service.sessions.getSession(ended.token).catch((error: unknown) => {
          expect([SessionBackendError, SessionNotFoundError]).toContain((error as Error).constructor);
        });
        const results = await Promise.allSettled(issued.map(({ token }) => service.sessions.getSession(token)));
        for (const [index, result] of results.entries()) {
          if (result.status === 'fulfilled') expect(result.value.user?.userId).toBe(`user ${index}`);
          else expect(result.reason).toBeInstanceOf(SessionBackendError);
        }
      }
      proxy.heal();
      await service.close();
    },
  );
});
