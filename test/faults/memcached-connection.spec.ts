import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { SessionRecord } from 'nestjs-sessionx';
import type { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { once } from 'node:events';
import { createServer, Socket, type AddressInfo } from 'node:net';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { OPCODES } from '../../src/backends/memcached/binary-request.js';
import { MemcachedConnection } from '../../src/backends/memcached/memcached-connection.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { soon } from '../support/soon.js';
import { MemcachedArena } from './memcached-arena.js';

/** Long enough for a third of it to be more than a loaded machine takes for a call. */
const TIMEOUT_MS = 3000;

const noop = { opcode: OPCODES.noop, key: '' };

describe('the connection to a Memcached server', () => {
  let server: MemcachedServer;
  let proxy: FaultProxy;
  let arena: MemcachedArena;
  let backend: MemcachedBackend;
  const rejections: unknown[] = [];
  const note = (reason: unknown) => rejections.push(reason);

  beforeAll(async () => {
    server = await MemcachedServer.start();
  });

  beforeEach(async () => {
    process.on('unhandledRejection', note);
    arena = new MemcachedArena();
    proxy = await FaultProxy.to(server.port);
    backend = await arena.open({ servers: proxy.address }, TIMEOUT_MS);
  });

  afterEach(async () => {
    proxy.heal();
    await arena.close();
    await proxy.stop();
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  afterAll(() => server.stop());

  async function stored(): Promise<SessionRecord> {
    const record = arena.record();
    expect((await backend.create(record, { timeoutMs: TIMEOUT_MS })).outcome).toBe('created');
    return record;
  }

  function through(options: { readonly idleMs?: number } = {}): MemcachedConnection {
    const [host = '', port] = proxy.address.split(':');
    return new MemcachedConnection({ host, port: Number(port) }, arena.context(TIMEOUT_MS), options);
  }

  describe.each(['silence', 'rst'] as const)('that the network has forgotten (%s)', (how) => {
    it('is exchanged for a fresh one by the first read, which gets its value', async () => {
      const record = await stored();
      const { connections } = proxy;
      proxy.forgetConnections(how);
      expect(await backend.read(record.id)).toEqual(record);
      expect(await backend.listByUser(arena.user)).toEqual([record]);
      expect(proxy.connections).toBe(connections + 1);
      expect(arena.log).toEqual([]);
    });

    it('serves 50 reads at once by one fresh connection', async () => {
      const records = await Promise.all(Array.from({ length: 50 }, () => stored()));
      const { connections } = proxy;
      proxy.forgetConnections(how);
      expect(await Promise.all(records.map(({ id }) => backend.read(id)))).toEqual(records);
      expect(proxy.connections).toBe(connections + 1);
    });

    it('takes no write twice: one that it has is an error, in time, and the next one is carried out', async () => {
      const connection = through();
      const add = (key: string) => connection.call({ opcode: OPCODES.add, key, extras: Buffer.alloc(8), value: '1' });
      await connection.call(noop);
      const { requests } = proxy;
      proxy.forgetConnections(how);
      const startedAt = performance.now();
      await expect(add(`forgotten-${how}`)).rejects.toThrow();
      expect(performance.now() - startedAt).toBeLessThan(TIMEOUT_MS + 1000);
      expect(proxy.requests).toBe(requests);
      expect((await add(`forgotten-${how}`)).header.status).toBe(0);
      expect(proxy.requests).toBe(requests + 1);
      await connection.close();
    });

    it('is not used for a write after a quiet spell', async () => {
      const connection = through({ idleMs: 0 });
      await connection.call(noop);
      proxy.forgetConnections(how);
      const value = { extras: Buffer.alloc(8), value: '1' };
      const { header } = await connection.call({ opcode: OPCODES.add, key: `quiet-${how}`, ...value });
      expect(header.status).toBe(0);
      await connection.close();
    });
  });

  it('that breaks while a read is on its way by a fresh one too does not fail the read', async () => {
    const connection = through();
    await connection.call(noop);
    proxy.forgetConnections('silence');
    proxy.holdRequests(0);
    const held = proxy.untilHeld();
    const read = connection.call({ opcode: OPCODES.getWithKey, key: 'any' });
    await held;
    proxy.resetForgotten();
    await soon(() => proxy.openConnections === 1 || undefined);
    proxy.release();
    expect((await read).header.status).toBe(1);
    await connection.close();
  });

  it('fails the write that it has as soon as a read has got its value by a fresh one', async () => {
    const connection = through();
    await connection.call(noop);
    proxy.forgetConnections('silence');
    const startedAt = performance.now();
    const write = connection.call({ opcode: OPCODES.delete, key: 'any' });
    const read = connection.call({ opcode: OPCODES.getWithKey, key: 'any' });
    await expect(write).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect(performance.now() - startedAt).toBeLessThan(TIMEOUT_MS);
    expect((await read).header.status).toBe(1);
    await connection.close();
  });

  it('takes no credentials from the environment, as they may be meant for another server', async () => {
    const received: Buffer[] = [];
    const silent = createServer((socket) => {
      socket.on('error', () => socket.destroy()).on('data', (bytes: Buffer) => received.push(bytes));
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    process.env.MEMCACHE_USERNAME = 'ann';
    process.env.MEMCACHE_PASSWORD = 'secret';
    const { port } = silent.address() as AddressInfo;
    const connection = new MemcachedConnection({ host: '127.0.0.1', port }, arena.context(200));
    await expect(connection.call(noop)).rejects.toMatchObject({ code: 'NO_RESPONSE' });
    delete process.env.MEMCACHE_USERNAME;
    delete process.env.MEMCACHE_PASSWORD;
    expect(Buffer.concat(received).readUInt8(1)).toBe(OPCODES.noop);
    await connection.close();
    silent.close();
    await once(silent, 'close');
  });

  it('is probed by the kernel while it is idle, so that no firewall forgets it', async () => {
    const keepAlive = jest.spyOn(Socket.prototype, 'setKeepAlive');
    const connection = through();
    await connection.call(noop);
    const delays = keepAlive.mock.calls.flatMap(([enable, delayMs]) => (enable === true ? [Number(delayMs)] : []));
    keepAlive.mockRestore();
    expect(delays).toHaveLength(1);
    expect(delays[0]).toBeGreaterThan(0);
    expect(delays[0]).toBeLessThanOrEqual(30_000);
    await connection.close();
  });

  it('to a server that accepts and closes is tried again after growing pauses, in which each call fails at once', async () => {
    const record = await stored();
    proxy.turnAway();
    const { connections } = proxy;
    const startedAt = performance.now();
    let calls = 0;
    let slowest = 0;
    while (performance.now() - startedAt < 2000) {
      const calledAt = performance.now();
      await expect(backend.read(record.id)).rejects.toThrow();
      slowest = Math.max(slowest, performance.now() - calledAt);
      calls++;
    }
    expect(calls).toBeGreaterThan(100);
    expect(slowest).toBeLessThan(1000);
    expect(proxy.connections - connections).toBeGreaterThan(3);
    expect(proxy.connections - connections).toBeLessThan(20);
    proxy.heal();
    const healedAt = performance.now();
    const read = () => backend.read(record.id).catch(() => undefined);
    let found = await read();
    while (found === undefined && performance.now() - healedAt < 10_000) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      found = await read();
    }
    expect(found).toEqual(record);
    expect(arena.log).toHaveLength(2);
  });

  it('to a server that comes and goes is not told with each time, and is back when nothing has failed for ten seconds', async () => {
    const connection = through();
    const comesAndGoes = async (): Promise<void> => {
      proxy.cutReplies(0, 'rst');
      await expect(connection.call(noop)).rejects.toThrow();
      proxy.heal();
      await connection.call(noop);
    };
    for (let time = 0; time < 10; time++) await comesAndGoes();
    const [lost, back] = [expect.stringContaining('is out of reach'), expect.stringContaining('is back')];
    expect(arena.log).toEqual([lost, back, lost]);
    arena.clock.advanceSeconds(10);
    await connection.call(noop);
    expect(arena.log).toEqual([lost, back, lost, back]);
    await connection.close();
  });

  it('leaves no socket and no timer behind when it is closed, in whatever state it is', async () => {
    const before = proxy.openConnections;
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const timersBefore = timers();
    for (const begin of [
      () => undefined,
      () => proxy.forgetConnections('silence'),
      () => proxy.forgetConnections('rst'),
      () => proxy.cutReplies(0, 'silence'),
      () => proxy.turnAway(),
    ]) {
      const connection = through();
      await connection.call(noop);
      begin();
      const calls = [noop, { opcode: OPCODES.delete, key: 'any' }].map((request) =>
        connection.call(request).catch(() => 'failed'),
      );
      await connection.close();
      await Promise.all(calls);
      proxy.heal();
    }
    const until = performance.now() + 10_000;
    while (proxy.openConnections > before && performance.now() < until) await eventLoopTurn();
    expect(proxy.openConnections).toBe(0);
    expect(timers()).toBeLessThanOrEqual(timersBefore);
  });
});
