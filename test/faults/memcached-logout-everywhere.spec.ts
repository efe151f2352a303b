import { describe, expect, it } from '@jest/globals';
import type { SessionRecord } from 'nestjs-sessionx';

import { MemcachedArena, ProxiedMemcached } from './memcached-arena.js';

const SESSIONS = 20;
const TEN_MINUTES_MS = 600_000;
const FIVE_MINUTES_MS = 300_000;

describe('a log-out everywhere in Memcached', () => {
  const memcached = ProxiedMemcached.forEachTest(2000);

  async function stored(record: SessionRecord): Promise<SessionRecord> {
    expect((await memcached.sound.create(record, { timeoutMs: 1000 })).outcome).toBe('created');
    return record;
  }

  it('ends the sessions that have expired only by the fast clock of its process, and counts those that have not', async () => {
    const { arena, server, sound } = memcached;
    const soon = await stored(arena.record(arena.user, 'payload', FIVE_MINUTES_MS));
    const fast = new MemcachedArena();
    fast.clock.advance(TEN_MINUTES_MS);
    const ahead = await fast.open({ servers: server.address });
    expect(await ahead.deleteByUser(arena.user)).toEqual([]);
    expect(await sound.read(soon.id)).toBeNull();
    expect(await sound.touch(soon.id, { ...soon, expiresAt: soon.expiresAt + TEN_MINUTES_MS })).toBe(false);

    const [kept, late] = [await stored(arena.record()), await stored(arena.record())];
    const early = await stored(arena.sibling(soon));
    expect(await ahead.deleteByUser(arena.user, { except: kept.id })).toEqual([late.id]);
    expect(await sound.listByUser(arena.user)).toEqual([kept]);
    expect(await sound.read(early.id)).toBeNull();
    await fast.close();
  });

  it.each([
    ['before it reads the list again', SESSIONS + 1],
    ['before it empties the list', SESSIONS + 2],
  ])('reads no record twice if a login comes %s', async (_when, requests) => {
    const { arena, proxy, backend, sound } = memcached;
    // One after the other: all of them write one list.
    const records = [];
    for (let count = 0; count < SESSIONS; count++) records.push(await stored(arena.record()));
    await backend.ping();
    const before = proxy.requests;
    proxy.holdRequests(requests);
    const ending = backend.deleteByUser(arena.user);
    await proxy.untilHeld();
    const login = await stored(arena.record());
    proxy.heal();
    proxy.release();
    expect((await ending).sort()).toEqual([...records, login].map(({ id }) => id).sort());
    expect(await sound.listByUser(arena.user)).toEqual([]);
    // Each record is read and deleted. The rest is for the list: it is read three times at most, and emptied by the second try.
    expect(proxy.requests - before).toBeLessThanOrEqual(2 * (SESSIONS + 1) + 5);
  });
});
