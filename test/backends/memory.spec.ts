import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Logger, Post, Req } from '@nestjs/common';
import { MemoryBackend, SessionBackendError, SessionService, UseSession, type SessionRecord } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { startApp } from '../support/apps.js';
import { runScript } from '../support/run-script.js';
import { startService } from '../support/services.js';

type Id = SessionRecord['id'];
type Tag = NonNullable<SessionRecord['userTag']>;

const TTL_MS = 3_600_000;
const SWEEP_INTERVAL_MS = 30_000;

let clock: FakeClock;
let backend: MemoryBackend;

beforeEach(() => {
  clock = new FakeClock();
});

afterEach(async () => {
  jest.useRealTimers();
  await backend.close();
});

async function open(maxRecords?: number): Promise<void> {
  backend = new MemoryBackend({ maxRecords });
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  await backend.open({ keyPrefix: 'test:', timeoutMs: 1000, clock, logger: silent });
}

let made = 0;

/** Differs from all others, which is all that matters here; random bytes cost more. */
const newText = (chars: number) => String(++made).padStart(9, '0').padEnd(chars, '-');
const newTag = () => newText(16) as Tag;

function newRecord(userTag: Tag | null, lifetimeMs = TTL_MS): SessionRecord {
  const id = ((userTag ?? newTag()) + newText(43)) as Id;
  const now = clock.now();
  return {
    id,
    version: 1,
    status: 'active',
    userTag,
    lastAccessed: now,
    expiresAt: now + lifetimeMs,
    payload: 'payload',
  };
}

async function stored(userTag: Tag | null, lifetimeMs?: number): Promise<SessionRecord> {
  const record = newRecord(userTag, lifetimeMs);
  await backend.create(record, { timeoutMs: 1000 });
  return record;
}

async function storedMany(count: number, userTag: () => Tag | null, lifetimeMs?: number): Promise<SessionRecord[]> {
  const records: SessionRecord[] = [];
  while (records.length < count) records.push(await stored(userTag(), lifetimeMs));
  return records;
}

const isThere = async ({ id }: SessionRecord) => (await backend.read(id)) !== null;

async function countOf(records: readonly SessionRecord[]): Promise<number> {
  let count = 0;
  for (const record of records) if (await isThere(record)) count++;
  return count;
}

describe('the bound', () => {
  it('holds for aliases too: one is kept as far as there is room, in place of a guest, and of no user', async () => {
    await open(3);
    const rename = async (old: SessionRecord) => {
      const fresh = { ...old, id: (old.id.slice(0, 16) + newText(43)) as Id };
      const alias = { ...old, version: 2, status: 'alias' as const, userTag: null };
      const replaces = { id: old.id, version: 1, alias };
      expect((await backend.create(fresh, { timeoutMs: 1000, replaces })).outcome).toBe('created');
      return { fresh, alias };
    };
    const [ann, bob, guest] = [await stored(newTag()), await stored(newTag()), await stored(null)];
    const first = await rename(ann);
    expect(await backend.read(ann.id)).toEqual(first.alias);
    expect([await isThere(first.fresh), await isThere(bob), await isThere(guest)]).toEqual([true, true, false]);
    await stored(newTag());
    expect(await isThere(ann)).toBe(false);
    const second = await rename(bob);
    expect([await isThere(bob), await isThere(second.fresh), await isThere(first.fresh)]).toEqual([false, true, true]);
  });

  it('is 100,000 records by default', async () => {
    await open();
    const records = await storedMany(100_003, () => null);
    expect(await countOf(records)).toBe(100_000);
    expect(await countOf(records.slice(0, 3))).toBe(0);
  });

  it('lets anonymous sessions leave, the oldest before the others, and nobody who is signed in', async () => {
    await open(4);
    const [signedIn, anonymous] = [await stored(newTag()), await stored(null)];
    const later = [await stored(newTag()), await stored(null)];
    const third = await stored(newTag());
    expect(await isThere(anonymous)).toBe(false);
    expect(await countOf([signedIn, ...later])).toBe(3);
    const fourth = await stored(newTag());
    expect(await isThere(later[1]!)).toBe(false);
    for (const tag of [newTag(), null]) {
      const refused = newRecord(tag);
      await expect(backend.create(refused, { timeoutMs: 1000 })).rejects.toThrow(SessionBackendError);
      expect(await isThere(refused)).toBe(false);
    }
    expect(await countOf([signedIn, later[0]!, third, fourth])).toBe(4);
  });

  it('tells who leaves for another, so that what is open for them ends', async () => {
    await open(2);
    const noticed: Id[] = [];
    await backend.onEnded((ids) => noticed.push(...ids));
    const [guest] = [await stored(null), await stored(newTag())];
    expect(noticed).toEqual([]);
    await stored(newTag());
    expect(noticed).toEqual([guest.id]);
  });

  it('has room for what takes the place of another: a regeneration, or a login that ends an older session', async () => {
    await open(2);
    const tag = newTag();
    const [first, other] = [await stored(tag), await stored(newTag())];
    const second = newRecord(tag);
    const replaces = { id: first.id, version: 1 };
    expect((await backend.create(second, { replaces, timeoutMs: 1000 })).outcome).toBe('created');
    const third = newRecord(tag);
    const limit = { max: 1, onLimit: 'evict-oldest' } as const;
    expect(await backend.create(third, { limit, timeoutMs: 1000 })).toEqual({
      outcome: 'created',
      evicted: [second.id],
    });
    expect(await countOf([first, second])).toBe(0);
    expect(await countOf([third, other])).toBe(2);
    const rejecting = { max: 1, onLimit: 'reject' } as const;
    expect((await backend.create(newRecord(tag), { limit: rejecting, timeoutMs: 1000 })).outcome).toBe('limit');
  });

  it('has room for the login of the last guest, who brings what was in the session', async () => {
    backend = new MemoryBackend({ maxRecords: 3 });
    @Controller()
    class ShopController {
      constructor(private readonly sessions: SessionService) {}

      @UseSession()
      @Post('start')
      async start(@Req() request: object) {
        return { token: (await this.sessions.start(request, { data: { cart: ['book'] } })).token };
      }

      @UseSession()
      @Post('login')
      async login(@Req() request: object) {
        return (await this.sessions.login(request, { userId: 'ann' })).session.data;
      }
    }
    const app = await startApp({ controllers: [ShopController], session: { backend, maxSessionsPerUser: null } });
    for (const userId of ['bob', 'carl']) await app.app.get(SessionService).createSession({ user: { userId } });
    for (let visitor = 0; visitor < 3; visitor++) {
      const { token } = (await (await app.fetch('/start', { method: 'POST' })).json()) as { token: string };
      const login = await app.fetch('/login', { method: 'POST', headers: { authorization: `Bearer ${token}` } });
      expect([login.status, await login.json()]).toEqual([201, { cart: ['book'] }]);
      expect(await app.app.get(SessionService).deleteUserSessions('ann')).toBe(1);
    }
    await app.close();
  });

  it('has room again when a session of a user has ended, has expired, or was invalidated', async () => {
    await open(3);
    const [deleted, invalidated] = [await stored(newTag()), await stored(newTag())];
    const renewed = await stored(newTag(), 1000);
    await backend.touch(renewed.id, { lastAccessed: clock.now(), expiresAt: clock.now() + 2 * TTL_MS });
    await expect(stored(null)).rejects.toThrow(SessionBackendError);

    await backend.replace({ ...invalidated, version: 2, status: 'invalidated' }, 1);
    const guest = await stored(null);
    expect(await isThere(invalidated)).toBe(false);
    await backend.delete(deleted.id);
    const short = await stored(newTag(), 1000);
    expect(await countOf([guest, renewed, short])).toBe(3);

    const user = await stored(newTag());
    expect(await isThere(guest)).toBe(false);
    await expect(stored(null)).rejects.toThrow(SessionBackendError);
    clock.advance(1000);
    const last = await stored(null);
    expect(await isThere(short)).toBe(false);
    expect(await countOf([renewed, user, last])).toBe(3);
  });

  it('takes no session that has ended into account while a log-out everywhere still removes those of the user', async () => {
    await open(1200);
    const tag = newTag();
    const restOfMinute = 60_000 - (clock.now() % 60_000) - 1;
    const ended = await storedMany(1200, () => tag, restOfMinute);
    const removal = backend.deleteByUser(tag);
    const others = await storedMany(900, newTag);
    expect(await removal).toHaveLength(1200);
    expect([await countOf(ended), await countOf(others)]).toEqual([0, 900]);
    expect(await countOf(await storedMany(300, newTag))).toBe(300);
    await expect(stored(newTag())).rejects.toThrow(SessionBackendError);
  });

  it('is said once a minute, and is no outage of the store', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const log = jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
    backend = new MemoryBackend({ maxRecords: 1 });
    const { sessions, close } = await startService(backend, {}, clock);
    const { token } = await sessions.createSession({ user: { userId: 'ann' } });
    for (let attempt = 0; attempt < 3; attempt++) {
      for (const user of [null, { userId: 'ann' }, { userId: 'bob' }]) {
        await expect(sessions.createSession({ user })).rejects.toMatchObject({
          code: 'BACKEND_UNAVAILABLE',
          status: 503,
        });
      }
      expect((await sessions.getSession(token)).user?.userId).toBe('ann');
    }
    expect(error.mock.calls).toEqual([[expect.stringMatching(/^MemoryBackend holds 1 sessions.*raise maxRecords/)]]);
    clock.advance(60_000);
    await expect(sessions.createSession()).rejects.toThrow(SessionBackendError);
    expect(error).toHaveBeenCalledTimes(2);
    expect(error.mock.calls[1]?.[0]).toContain('and 8 times more');
    expect(log.mock.calls.join()).not.toContain('works again');
    await close();
    error.mockRestore();
    log.mockRestore();
  });

  it('goes by age, not by use: a session that was touched or changed is as old as before', async () => {
    await open(2);
    const [first, second] = [await stored(null), await stored(null)];
    await backend.touch(first.id, { lastAccessed: clock.now() + 1, expiresAt: first.expiresAt + 1 });
    await backend.replace({ ...first, version: 2 }, 1);
    await stored(newTag());
    expect([await isThere(first), await isThere(second)]).toEqual([false, true]);
  });

  it('still knows the oldest when sessions in between have been deleted', async () => {
    await open(3);
    const [first, second, third] = await storedMany(3, () => null);
    await backend.delete(second!.id);
    const fourth = await stored(null);
    await stored(null);
    expect([await isThere(first!), await isThere(third!), await isThere(fourth)]).toEqual([false, true, true]);
  });

  it('takes a session that leaves out of the list of its user', async () => {
    await open(2);
    const tag = newTag();
    const [, kept] = [await stored(tag, 1000), await stored(tag)];
    clock.advance(1000);
    const later = await stored(tag);
    expect((await backend.listByUser(tag)).map(({ id }) => id)).toEqual([kept.id, later.id]);
  });

  it('costs a new session as much however many have left before', async () => {
    await open(30_000);
    await storedMany(30_000, () => null);
    const atFirst = await timeToStore(2_000);
    await storedMany(40_000, () => null);
    // To find the oldest among the traces of those that left would take a hundred times as long.
    expect(await timeToStore(2_000)).toBeLessThan(10 * atFirst + 50);
  });
});

async function timeToStore(count: number): Promise<number> {
  const startedAt = performance.now();
  await storedMany(count, () => null);
  return performance.now() - startedAt;
}

describe('expiry', () => {
  it('removes what nobody reads, from time to time', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    await open();
    await storedMany(10, newTag, 1000);
    clock.advance(1000);
    await jest.advanceTimersByTimeAsync(SWEEP_INTERVAL_MS);
    expect(await backend.clearExpired()).toBe(0);
  });

  it('is counted by clearExpired: what had expired, without what lives or was ended', async () => {
    await open();
    const short = await storedMany(1_200, newTag, 1000);
    const long = await storedMany(5, newTag);
    await backend.delete(short[0]!.id);
    clock.advance(999);
    expect(await backend.clearExpired()).toBe(0);
    clock.advance(1);
    expect(await backend.clearExpired()).toBe(1_199);
    expect(await backend.clearExpired()).toBe(0);
    expect(await countOf(long)).toBe(5);
  });

  it('waits for the later time when a session was renewed, in the same minute or in a later one', async () => {
    await open();
    const renewed = await storedMany(2, newTag, 1000);
    for (const [index, { id, lastAccessed, expiresAt }] of renewed.entries()) {
      await backend.touch(id, { lastAccessed, expiresAt: expiresAt + [1, TTL_MS][index]! });
    }
    clock.advance(1000);
    expect(await backend.clearExpired()).toBe(0);
    clock.advance(1);
    expect(await backend.clearExpired()).toBe(1);
    clock.advance(TTL_MS);
    expect(await backend.clearExpired()).toBe(1);
  });

  it('lets others run while much is expired, and never shows them an expired session', async () => {
    await open();
    const records = await storedMany(5_000, newTag, 1000);
    const tag = records[4_999]!.userTag!;
    clock.advance(1000);
    let swept = false;
    const sweep = backend.clearExpired().finally(() => (swept = true));
    await eventLoopTurn();
    expect(swept).toBe(false);
    expect(await backend.listByUser(tag)).toEqual([]);
    expect(await isThere(records[4_998]!)).toBe(false);
    // Those two left as they were looked for.
    expect(await sweep).toBe(4_998);
  });

  it('spares what is created while the sweep is under way', async () => {
    await open();
    await storedMany(2_000, newTag, 1000);
    clock.advance(1000);
    const sweep = backend.clearExpired();
    const fresh = await stored(newTag());
    expect(await sweep).toBe(2_000);
    expect(await isThere(fresh)).toBe(true);
  });
});

describe('a user with thousands of sessions', () => {
  const COUNT = 5_000;

  async function openWithMany() {
    await open();
    const tag = newTag();
    const records = Array.from({ length: COUNT }, () => newRecord(tag));
    for (const record of records) await backend.create(record, { timeoutMs: 1000 });
    return { tag, records };
  }

  it('is logged out everywhere at once, and lets others run while the sessions are removed', async () => {
    const { tag, records } = await openWithMany();
    const removal = { isOver: false };
    const ending = backend.deleteByUser(tag).finally(() => {
      removal.isOver = true;
    });
    let turns = 0;
    for (; !removal.isOver; turns++) {
      // It is removed last.
      expect(await backend.read(records.at(-1)!.id)).toBeNull();
      expect(await backend.listByUser(tag)).toEqual([]);
    }
    expect(turns).toBeGreaterThan(3);
    for (const { id } of records) expect(await backend.read(id)).toBeNull();
    expect(await ending).toHaveLength(COUNT);
  });

  it('keeps the session that logs in while the others are removed, and the one to be kept', async () => {
    const { tag, records } = await openWithMany();
    const [kept, ended] = records as [SessionRecord, SessionRecord];
    const ending = backend.deleteByUser(tag, { except: kept.id });
    const fresh = newRecord(tag);
    const limit = { max: 2, onLimit: 'reject' } as const;
    expect((await backend.create(fresh, { timeoutMs: 1000, limit })).outcome).toBe('created');
    expect(await backend.touch(ended.id, { ...ended, expiresAt: ended.expiresAt + 1 })).toBe(false);
    expect(await backend.replace({ ...ended, version: 2 }, 1)).toBe('missing');
    expect(await backend.delete(ended.id)).toBe('missing');
    expect(await ending).toHaveLength(COUNT - 1);
    expect((await backend.listByUser(tag)).map(({ id }) => id)).toEqual([kept.id, fresh.id]);
    expect(await backend.deleteByUser(tag)).toHaveLength(2);
  });
});

describe('a process', () => {
  const OPENED = `
    import { AsyncLocalStorage } from 'node:async_hooks';
    import { randomBytes } from 'node:crypto';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { MemoryBackend } from './src/backends/memory/memory.backend.ts';

    const silent = { log() {}, warn() {}, error() {} };
    let now = Date.now();
    const context = { keyPrefix: '', timeoutMs: 1000, clock: { now: () => now }, logger: silent };
    const backend = new MemoryBackend();`;

  beforeEach(() => open());

  it('ends by itself with a backend open', async () => {
    expect(await runScript(`${OPENED} await backend.open(context); console.log('opened');`)).toBe('opened');
  });

  it('does not keep the async context in which the backend was opened', async () => {
    const script = `${OPENED}
      const storage = new AsyncLocalStorage();
      async function openIn(store) {
        await storage.run(store, () => backend.open(context));
        return new WeakRef(store);
      }
      const store = await openIn({ request: 'large' });
      for (let tries = 0; tries < 20 && store.deref(); tries++) { await sleep(10); gc(); }
      console.log(store.deref() === undefined ? 'let go' : 'kept', storage.getStore());`;
    expect(await runScript(script)).toBe('let go undefined');
  });

  it('has its memory back when sessions have expired or left', async () => {
    const script = `${OPENED}
      await backend.open(context);
      const text = (bytes) => randomBytes(bytes).toString('base64url');
      async function fill(count) {
        let userTag;
        for (let index = 0; index < count; index++) {
          // Each user has two, of whom every other one leaves with one.
          if (index % 2 === 0) userTag = text(12);
          const id = userTag + text(32);
          const record = { version: 1, status: 'active', userTag, lastAccessed: now, expiresAt: now + 10_000 * (1 + index) };
          await backend.create({ ...record, id, payload: text(400) }, { timeoutMs: 1000 });
          if (index % 4 === 1) await backend.delete(id);
        }
        now += 10_000 * (count + 1);
        await backend.clearExpired();
      }
      async function heapUsed() {
        for (let pass = 0; pass < 3; pass++) { await sleep(10); gc(); }
        return process.memoryUsage().heapUsed;
      }
      await fill(10_000);
      const before = await heapUsed();
      for (let round = 0; round < 4; round++) await fill(10_000);
      console.log((await heapUsed()) - before < 500_000 ? 'back' : 'grown');`;
    expect(await runScript(script)).toBe('back');
  });
});
