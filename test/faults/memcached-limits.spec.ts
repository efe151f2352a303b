import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Client } from 'memjs';
import { encodeRecord, SessionDataError, type SessionRecord } from 'nestjs-sessionx';
import { MemcachedBackend, type MemcachedBackendOptions } from 'nestjs-sessionx/memcached';

import { itemExpiry } from '../../src/backends/memcached/item-expiry.js';
import { MemcachedConnection } from '../../src/backends/memcached/memcached-connection.js';
import { addressOf, targetOf } from '../../src/backends/memcached/memcached-options.js';
import { OPCODES } from '../../src/backends/memcached/binary-request.js';
import { Placement } from '../../src/backends/memcached/placement.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { atOnce, startService } from '../support/services.js';
import { MemcachedArena } from './memcached-arena.js';

const DAY_MS = 24 * 3_600_000;

describe('the limits of Memcached', () => {
  let server: MemcachedServer;
  let observer: Client;
  let arena: MemcachedArena;
  let backend: MemcachedBackend;

  beforeAll(async () => {
    server = await MemcachedServer.start();
    observer = server.client();
  });

  beforeEach(async () => {
    arena = new MemcachedArena();
    backend = await arena.open({ servers: server.address });
  });

  afterEach(() => arena.close());

  afterAll(async () => {
    observer.close();
    await server.stop();
  });

  it.each([
    ['a tiny', 1],
    ['an odd', 1001],
    ['exactly 30 days of', 30 * DAY_MS],
    ['30 days and a second of', 30 * DAY_MS + 1000],
    ['a year of', 365 * DAY_MS],
    ['75 years of', 75 * 365 * DAY_MS],
  ])('%s lifetime is kept as long as the record says, and no longer', async (_name, lifetimeMs) => {
    const record = arena.record(arena.user, 'payload', lifetimeMs);
    await backend.create(record, { timeoutMs: 1000 });
    expect(await backend.read(record.id)).toEqual(record);
    const leastSeconds = lifetimeMs / 1000 - 1;
    for (const key of [arena.keyPrefix + record.id, arena.listKey()]) {
      expect(await server.secondsLeft(key)).toBeGreaterThanOrEqual(Math.floor(leastSeconds));
      expect(await server.secondsLeft(key)).toBeLessThan(lifetimeMs / 1000 + 3605);
    }
    arena.clock.advance(Math.ceil(lifetimeMs));
    expect(await backend.listByUser(arena.user)).toEqual([]);
    expect(await backend.replace({ ...record, version: 2 }, 1)).toBe('missing');
    expect(await backend.touch(record.id, { ...record, expiresAt: record.expiresAt + 1000 })).toBe(false);
  });

  it('the expiry that is sent is never too short, never 0, and never more than 32 bits', () => {
    const now = 1_800_000_000_000;
    expect([0, -5, NaN, 1, 1000, 1001].map((lifetime) => itemExpiry(lifetime, now))).toEqual([1, 1, 1, 2, 2, 3]);
    expect(itemExpiry(30 * DAY_MS - 1000, now)).toBe(30 * 24 * 3600);
    // Also for a server whose clock is an hour ahead.
    expect(itemExpiry(30 * DAY_MS, now)).toBeGreaterThanOrEqual(now / 1000 + (30 * 24 + 1) * 3600);
    expect(itemExpiry(Infinity, now)).toBe(2 ** 32 - 1);
  });

  it('a session larger than an item is refused before it is sent, and the stored one stays', async () => {
    const backend = new MemcachedBackend({ servers: server.address });
    const service = await startService(backend, { maxSessionBytes: 4 * 1024 * 1024 }, arena.clock);
    const { token } = await service.sessions.createSession({ user: { userId: 'ann' }, data: { kept: 1 } });
    const session = await service.sessions.getSession(token);
    session.data.large = 'x'.repeat(1024 * 1024);
    const error: unknown = await service.sessions.updateSession(session).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(SessionDataError);
    expect(error).toMatchObject({ path: 'data', status: 413 });
    expect((await service.sessions.getSession(token)).data).toEqual({ kept: 1 });
    await expect(service.sessions.createSession({ data: { large: 'ä'.repeat(600_000) } })).rejects.toThrow(
      SessionDataError,
    );
    await service.close();
  });

  it('a session that grows larger than an item, and is to live longer, is refused before its entry in the list is prolonged', async () => {
    const small = await arena.open({ servers: server.address, maxItemSize: 2048 });
    const record = arena.record();
    await small.create(record, { timeoutMs: 1000 });
    const before = await observer.get(arena.listKey());
    const longer = { ...record, version: 2, expiresAt: record.expiresAt + 60_000 };
    await expect(small.replace({ ...longer, payload: 'x'.repeat(2048) }, 1)).rejects.toThrow(SessionDataError);
    expect((await observer.get(arena.listKey())).value).toEqual(before.value);
    expect(await small.replace(longer, 1)).toBe('replaced');
    expect((await observer.get(arena.listKey())).value).not.toEqual(before.value);
  });

  it('the largest that is sent is taken, one byte more is not sent; nor is what a smaller server refuses lost', async () => {
    const small = await MemcachedServer.start('-I', '64k', '-o', 'slab_chunk_max=16384');
    const configured = await arena.open({ servers: small.address, maxItemSize: 64 * 1024 });
    const untold = await arena.open({ servers: small.address });
    const key = arena.keyPrefix + arena.record().id;
    const room = 64 * 1024 - 128 - key.length - 49;
    const largest = arena.record(arena.user, 'x'.repeat(room));
    expect((await configured.create(largest, { timeoutMs: 1000 })).outcome).toBe('created');
    const larger = { ...largest, version: 2, payload: 'x'.repeat(room + 1) };
    await expect(configured.replace(larger, 1)).rejects.toThrow(SessionDataError);
    const far = { ...largest, version: 2, payload: 'x'.repeat(2 * room) };
    await expect(untold.replace(far, 1)).rejects.toThrow(SessionDataError);
    expect(await configured.read(largest.id)).toEqual(largest);
    await small.stop();
  });

  it('a list as long as an item can be takes no further session, and keeps those that it has', async () => {
    const small = await arena.open({ servers: server.address, maxItemSize: 1024 });
    const results = [];
    for (let login = 0; login < 20; login++) {
      results.push((await small.create(arena.record(arena.user, ''), { timeoutMs: 1000 })).outcome);
    }
    const made = results.filter((outcome) => outcome === 'created').length;
    expect(made).toBeGreaterThan(5);
    expect(results.slice(made)).toEqual(results.slice(made).map(() => 'limit'));
    expect(await small.listByUser(arena.user)).toHaveLength(made);
  });

  it('a prefix may be as long as the keys allow, and not longer; nor may it hold a space', async () => {
    const longest = new MemcachedArena('p'.repeat(191));
    const works = await longest.open({ servers: server.address });
    const record = longest.record();
    await works.create(record, { timeoutMs: 1000 });
    expect(await works.read(record.id)).toEqual(record);
    await longest.close();
    for (const prefix of ['p'.repeat(192), 'a b', 'ä', 'a\r\n']) {
      const context = new MemcachedArena(prefix).context();
      await expect(new MemcachedBackend({ servers: server.address }).open(context)).rejects.toThrow(/backendKeyPrefix/);
    }
  });

  it('a list that was evicted logs its user out, for good', async () => {
    const record = arena.record();
    await backend.create(record, { timeoutMs: 1000 });
    expect(await observer.delete(arena.listKey())).toBe(true);
    expect(await backend.read(record.id)).toBeNull();
    const next = arena.record();
    await backend.create(next, { timeoutMs: 1000 });
    expect(await backend.read(record.id)).toBeNull();
    expect(await backend.replace({ ...record, version: 2 }, 1)).toBe('missing');
    expect(await backend.touch(record.id, { ...record, expiresAt: record.expiresAt + 1 })).toBe(false);
    expect(await backend.delete(record.id)).toBe('missing');
    expect(await backend.deleteByUser(arena.user)).toEqual([next.id]);
  });

  it.each<[how: string, end: (record: SessionRecord) => Promise<unknown>]>([
    ['deleted by its version', ({ id }) => backend.delete(id, { ifVersion: 1 })],
    ['deleted', ({ id }) => backend.delete(id)],
    [
      'replaced by another one, which is deleted',
      async (record) => {
        const next = arena.sibling(record);
        const replaces = { id: record.id, version: 1 };
        expect(await backend.create(next, { timeoutMs: 1000, replaces })).toMatchObject({ outcome: 'created' });
        return backend.delete(next.id);
      },
    ],
    ['logged out everywhere', () => backend.deleteByUser(arena.user)],
  ])('a session that was %s leaves no item', async (_how, end) => {
    const record = arena.record();
    await backend.create(record, { timeoutMs: 1000 });
    await end(record);
    expect(await server.secondsLeft(arena.keyPrefix + record.id)).toBeNull();
    expect(await server.secondsLeft(arena.listKey())).toBeNull();
  });

  it('a session that was invalidated leaves the list of its user, so that nothing waits for it', async () => {
    const record = arena.record();
    await backend.create(record, { timeoutMs: 1000 });
    await backend.replace({ ...record, version: 2, status: 'invalidated' }, 1);
    expect(await server.secondsLeft(arena.listKey())).toBeNull();
  });

  it('a record that was evicted is not counted by the limit, nor by a logout everywhere', async () => {
    const [evicted, kept, next] = [arena.record(), arena.record(), arena.record()];
    const limit = { max: 2, onLimit: 'reject' } as const;
    for (const record of [evicted, kept]) await backend.create(record, { timeoutMs: 1000, limit });
    await observer.delete(arena.keyPrefix + evicted.id);
    expect((await backend.create(next, { timeoutMs: 1000, limit })).outcome).toBe('created');
    expect((await backend.deleteByUser(arena.user)).sort()).toEqual([kept.id, next.id].sort());
  });

  it.each([
    ['empty', () => ''],
    ['of another program', () => '{"sessions":[]}'],
    ["another user's", (text: string, other: string) => text.replace(/^sxl1 \S+/, `sxl1 ${other}`)],
    ['with a broken line', (text: string) => text.replace(/ \d{14}\n/, ' soon\n')],
  ])('a list that is %s: one warning, 401, and a new login works', async (_name, damage) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const service = await startService(new MemcachedBackend({ servers: server.address }), {}, arena.clock);
    const { token, session } = await service.sessions.createSession({ user: { userId: 'ann' } });
    const key = `session:${session.sessionId.slice(0, 16)}`;
    const text = String((await observer.get(key)).value);
    await observer.set(key, damage(text, arena.newUser()));
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    expect(warn).toHaveBeenCalledTimes(1);
    expect(await service.sessions.listUserSessions('ann')).toEqual([]);
    const next = await service.sessions.createSession({ user: { userId: 'ann' } });
    expect((await service.sessions.getSession(next.token)).user?.userId).toBe('ann');
    expect(await service.sessions.deleteUserSessions('ann')).toBe(1);
    await service.close();
    warn.mockRestore();
  });

  it.each([
    ['empty', () => ''],
    ['of another program', () => '{"cookie":{},"user":1}'],
    ['cut off', (text: string) => text.slice(0, -20)],
    ['cut off in the head', (text: string) => text.slice(0, 30)],
    ['with data that is a list', (text: string) => text.replace('{"secret":"the content"}', '[]')],
    ['with a line too many', (text: string) => `${text}\n{}`],
  ])('a record that is %s: one warning, 401, and it stays as it is', async (_name, damage) => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const service = await startService(new MemcachedBackend({ servers: server.address }), {}, arena.clock);
    const user = { userId: 'ann' };
    const { token, session } = await service.sessions.createSession({ user, data: { secret: 'the content' } });
    const key = `session:${session.sessionId}`;
    const damaged = damage(String((await observer.get(key)).value));
    await observer.set(key, damaged);
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    expect(warn).toHaveBeenCalledTimes(1);
    expect(String(warn.mock.calls[0]?.[0])).not.toContain('the content');
    await expect(service.sessions.update(session.sessionId, () => undefined)).rejects.toMatchObject({ status: 401 });
    expect(String((await observer.get(key)).value)).toBe(damaged);
    await service.sessions.deleteUserSessions('ann');
    await service.close();
    warn.mockRestore();
  });

  it('a record or a list of a newer form is a 503, neither overwritten nor taken for absent', async () => {
    const service = await startService(new MemcachedBackend({ servers: server.address }), {}, arena.clock);
    const { token, session } = await service.sessions.createSession({ user: { userId: 'newer' } });
    const [key, list] = [`session:${session.sessionId}`, `session:${session.sessionId.slice(0, 16)}`];
    for (const [item, old, newer] of [
      [key, 'sx1 ', 'sx2 '],
      [list, 'sxl1 ', 'sxl2 '],
    ] as const) {
      const text = String((await observer.get(item)).value);
      await observer.set(item, text.replace(old, newer));
      await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'BACKEND_RECORD_NEWER' });
      await expect(service.sessions.update(session.sessionId, () => undefined)).rejects.toMatchObject({ status: 503 });
      expect(String((await observer.get(item)).value)).toBe(text.replace(old, newer));
      await observer.set(item, text);
    }
    await expect(service.sessions.getSession(token)).resolves.toBeDefined();
    await service.close();
  });

  it("another session's record, copied to this key, is no session", async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const service = await startService(new MemcachedBackend({ servers: server.address }), {}, arena.clock);
    const victim = await service.sessions.createSession({ user: { userId: 'victim' } });
    const { token, session } = await service.sessions.createSession({ user: { userId: 'eve' } });
    const { value } = await observer.get(`session:${victim.session.sessionId}`);
    await observer.set(`session:${session.sessionId}`, value ?? '');
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    expect(warn).toHaveBeenCalledTimes(1);
    await service.close();
    warn.mockRestore();
  });

  it('stores what it says: records as text, and a list that names its user', async () => {
    const record = arena.record();
    await backend.create(record, { timeoutMs: 1000 });
    expect(String((await observer.get(arena.keyPrefix + record.id)).value)).toBe(encodeRecord(record));
    expect(String((await observer.get(arena.listKey())).value)).toBe(
      `sxl1 ${arena.user}\n${record.id.slice(16)} ${String(record.expiresAt).padStart(14, '0')}\n`,
    );
  });

  it('the client that has used up its sequence numbers is exchanged, and no call notices', async () => {
    const connection = new MemcachedConnection({ host: '127.0.0.1', port: server.port }, arena.context(), {
      lastSequence: 7,
    });
    const before = (await connections()) - 1;
    const replies = await atOnce(40, () => connection.call({ opcode: OPCODES.noop, key: '' }));
    expect(replies.map(({ header }) => header.status)).toEqual(replies.map(() => 0));
    expect(Math.max(...replies.map(({ header }) => header.opaque))).toBe(7);
    await connection.close();
    while ((await connections()) - 1 > before) expect(arena.log).toEqual([]);
    await expect(connection.call({ opcode: OPCODES.noop, key: '' })).rejects.toMatchObject({ code: 'CLOSED' });
  });

  function connections(): Promise<number> {
    return new Promise((resolve) => {
      observer.stats((_error, _server, stats) => resolve(Number(stats?.curr_connections)));
    });
  }

  it('a memjs client that is handed in lends its servers, and is left alone', async () => {
    const service = await startService(new MemcachedBackend(observer), {}, arena.clock);
    const perform = jest.spyOn(observer, 'perform');
    const { token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    expect((await service.sessions.getSession(token)).user?.userId).toBe('ann');
    await service.close();
    expect(perform).not.toHaveBeenCalled();
    perform.mockRestore();
    expect(await observer.set('mine', 'still works')).toBe(true);
  });
});

describe('the options of MemcachedBackend', () => {
  const refused = [
    ...[
      '',
      ' ',
      ',',
      'a,',
      ',a',
      'a,,b',
      'host:0',
      'host:65536',
      'host:99999',
      'host:x',
      'host:',
      'host:1:2',
      'host:+1',
    ],
    ...['host:1e3', 'host:01121', 'host:-1', 'host: 11211', 'host name', 'ho\tst', 'a:1,a:1', 'A:1,a:1'],
    ...['/var/run/memcached.sock', 'a/b', 'a/b:11211', 'host:11211/0', 'unix:/tmp/memcached', 'C:\\memcached', 'a\\b'],
    ...['memcached://host:11211', 'tcp://secret@host', 'http://user:secret@host:80/', 'redis://:secret@host'],
    ...['user:secret@', 'user@host', ':secret@host', 'user:@host', '@host', 'secret@user@host', 'user:sec,ret@host:1'],
    ...['user:sec\nret@host', 'us\0er:secret@host', 'user:secret@host:99999', 'user:secret@ho st', 'user:secret@a/b'],
    ...['::1', '::1:11211', '[::1', '::1]:11211', '[::1]11211', '[]:11211', '[host]:11211', '[127.0.0.1]:11211'],
    ...['[::g]:1', '[::1]:0', '[1:2:3]:11211', 'fe80::1'],
    ...['256.1.1.1', '1.2.3', '127.1', '1.2.3.4.5', '12345', '-host', 'host-', 'ho..st', '.host', 'a'.repeat(64)],
    ...['höst', 'ホスト:11211', 'host\u200b', 'ho\u00adst:1', '$HOST', '<host>', 'host?x', 'host#1', 'a;b'],
    `${'a.'.repeat(130)}b`,
  ];

  it.each(refused)('servers %j is refused, without a word of it', (servers) => {
    const refusal = () => new MemcachedBackend({ servers });
    expect(refusal).toThrow(TypeError);
    expect(refusal).toThrow(/servers/);
    expect(refusal).not.toThrow(/secret|sec\nret|sec,ret/);
  });

  it.each([
    ['host', ['host:11211']],
    ['host:1,other:2', ['host:1', 'other:2']],
    ['[::1]:11211', ['::1:11211']],
    ['[2001:db8::1]', ['2001:db8::1:11211']],
    ['[fe80::1%eth0]:1', ['fe80::1%eth0:1']],
    ['[::ffff:127.0.0.1]:1', ['::ffff:127.0.0.1:1']],
    ['user:pass:w@rd@host:1', ['host:1']],
    ['user:p/a s:s@host:1', ['host:1']],
    [' a , b ', ['a:11211', 'b:11211']],
    ['10.0.0.1:11211', ['10.0.0.1:11211']],
    ['my_memcached:11211', ['my_memcached:11211']],
    ['Memcached-1.Example.ORG.:65535', ['memcached-1.example.org.:65535']],
    ['xn--hst-sna.example', ['xn--hst-sna.example:11211']],
  ])('servers %j is taken', (servers, addresses) => {
    expect(targetOf({ servers }).servers.map(addressOf)).toEqual(addresses);
    expect(() => new MemcachedBackend({ servers })).not.toThrow();
  });

  it('takes a user and a password as they stand, or those of the options', () => {
    const options = { username: 'ann', password: 'all' };
    const { servers } = targetOf({ servers: 'us%40er:pa:s@s@one,two', ...options });
    expect(servers).toEqual([
      { host: 'one', port: 11211, username: 'us%40er', password: 'pa:s@s' },
      { host: 'two', port: 11211, ...options },
    ]);
  });

  it.each([
    { username: 'ann' },
    { password: 'secret' },
    { username: '', password: 'secret' },
    { username: 'a\0', password: 'secret' },
  ])('credentials that cannot work are refused: %j', (credentials) => {
    const refusal = () => new MemcachedBackend({ servers: 'host', ...credentials });
    expect(refusal).toThrow(/username and password/);
    expect(refusal).not.toThrow(/secret/);
  });

  it.each<unknown>([
    ...[
      undefined,
      null,
      'host:11211',
      11211,
      {},
      { servers: undefined },
      { servers: null },
      { servers: 5 },
      { servers: {} },
    ],
    ...[{ servers: ['host:11211'] }, { servers: [null] }, { servers: [] }, { servers: [{ port: 1 }] }],
    ...[
      { servers: [{ host: 'a/b', port: 1 }] },
      { servers: [{ host: 'a', port: 0 }] },
      { servers: [{ host: 'a', port: '1' }] },
    ],
  ])('%j in place of the options is refused', (given) => {
    expect(() => new MemcachedBackend(given as MemcachedBackendOptions)).toThrow(TypeError);
  });

  it('a memjs client whose servers cannot work is refused', () => {
    for (const servers of ['a/b', 'a, b', '::1', 'host:x', 'host:0', 'höst', 'a,a']) {
      expect(() => new MemcachedBackend(Client.create(servers))).toThrow(TypeError);
    }
  });

  it.each([0, 100, 1.5, NaN, Infinity])('maxItemSize %d is refused', (maxItemSize) => {
    expect(() => new MemcachedBackend({ servers: 'host', maxItemSize })).toThrow(/maxItemSize/);
  });
});

it('a server more takes its own share of the users, and moves no others', () => {
  const arena = new MemcachedArena();
  const three = new Placement(['a:1', 'b:1', 'c:1'], (name) => name);
  const four = new Placement(['d:1', 'c:1', 'b:1', 'a:1'], (name) => name);
  const counts = new Map<string, number>();
  for (let user = 0; user < 4000; user++) {
    const tag = arena.newUser();
    const now = four.of(tag);
    counts.set(now, (counts.get(now) ?? 0) + 1);
    if (now !== 'd:1') expect(now).toBe(three.of(tag));
  }
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  expect(counts.size).toBe(4);
});
