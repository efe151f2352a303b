import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Session, SessionService } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { FaultController } from '../support/fault-controller.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { freePort } from '../support/processes.js';
import { atOnce, startService } from '../support/services.js';

const BUDGET_MS = 600;
/** What a loaded machine may add to a timeout. */
const SLACK_MS = 2000;
/** Memcached takes no items that are larger than half of its memory. */
const ONE_MEGABYTE = ['-m', '1', '-I', '128k', '-o', 'slab_chunk_max=65536'];

const rejections: unknown[] = [];
const note = (reason: unknown) => rejections.push(reason);

beforeEach(() => {
  process.on('unhandledRejection', note);
});

afterEach(() => {
  process.off('unhandledRejection', note);
  expect(rejections).toEqual([]);
});

describe.each(PLATFORMS)('a Memcached that fails, on %s', (platform) => {
  let server: MemcachedServer;
  let app: AppUnderTest;
  let headers: { authorization: string };

  beforeEach(async () => {
    server = await MemcachedServer.start();
    app = await startApp({
      platform,
      controllers: [FaultController],
      session: { backend: new MemcachedBackend({ servers: server.address }), backendTimeout: BUDGET_MS },
    });
    const { token } = (await (await app.fetch('/login', { method: 'POST' })).json()) as { token: string };
    headers = { authorization: `Bearer ${token}` };
  });

  afterEach(async () => {
    server.resume();
    await app.close();
    await server.stop();
  });

  async function expect503(path: string, method = 'GET', sent: Record<string, string> = headers): Promise<void> {
    const started = performance.now();
    const response = await app.fetch(path, { method, headers: sent });
    expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(response.headers.get('x-session-token')).toBeNull();
  }

  async function healed(): Promise<number> {
    for (;;) {
      const { status } = await app.fetch('/me', { headers });
      if (status !== 503) return status;
    }
  }

  it('killed with 100 requests in flight: each is 200 or 503, and then all are 503', async () => {
    const responses = atOnce(100, () => app.fetch('/me', { headers }));
    await server.kill();
    for (const { status } of await responses) expect([200, 503]).toContain(status);
    await expect503('/me');
    await expect503('/write', 'POST');
    await expect503('/login', 'POST', {});
    await expect503('/logout', 'POST');
    expect((await app.fetch('/unused', { headers })).status).toBe(200);
    expect((await app.fetch('/me', { headers: { authorization: 'Bearer forged' } })).status).toBe(401);
  });

  it('restarted empty: 401, nobody is let in, and a login works', async () => {
    await server.kill();
    await expect503('/me');
    await server.start();
    expect(await healed()).toBe(401);
    expect((await app.fetch('/login', { method: 'POST' })).status).toBe(200);
    expect((await app.fetch('/me', { headers })).status).toBe(401);
  });

  it('frozen: 503 within the budget, with 50 requests in flight; goes on when the server does', async () => {
    server.pause();
    await atOnce(50, () => expect503('/me'));
    await expect503('/login', 'POST', {});
    server.resume();
    expect(await healed()).toBe(200);
  });

  it('logins that Memcached comes to after their callers were told 503 make no session', async () => {
    server.pause();
    await atOnce(20, () => expect503('/login', 'POST', {}));
    server.resume();
    expect(await healed()).toBe(200);
    const sessions = app.app.get(SessionService);
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('flushed: 401, nobody is let in', async () => {
    const client = server.client();
    await client.flush();
    client.close();
    expect((await app.fetch('/me', { headers })).status).toBe(401);
    expect((await app.fetch('/write', { method: 'POST', headers })).status).toBe(401);
    expect(await app.app.get(SessionService).deleteUserSessions('ann')).toBe(0);
  });

  it('frozen during the shutdown: the application closes within its budget', async () => {
    server.pause();
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS + 1000);
  });
});

it('down at boot: the application starts, answers 503, and heals when Memcached comes', async () => {
  const port = await freePort();
  const app = await startApp({
    controllers: [FaultController],
    session: { backend: new MemcachedBackend({ servers: `127.0.0.1:${port}` }), backendTimeout: BUDGET_MS },
  });
  expect((await app.fetch('/unused')).status).toBe(200);
  expect((await app.fetch('/login', { method: 'POST' })).status).toBe(503);
  const server = await MemcachedServer.startOn(port);
  expect((await app.fetch('/login', { method: 'POST' })).status).toBe(200);
  await app.close();
  await server.stop();
});

describe('several servers', () => {
  it('one that dies: its users get 503, all others go on; back and empty, its users get 401', async () => {
    const servers = await Promise.all([MemcachedServer.start(), MemcachedServer.start(), MemcachedServer.start()]);
    const list = servers.map(({ address }) => address);
    const service = await startService(new MemcachedBackend({ servers: list.join(',') }), {
      backendTimeout: BUDGET_MS,
    });
    // Another process names them in another order, and finds the same users at the same places.
    const other = await startService(
      new MemcachedBackend({ servers: list.reverse().join(',') }),
      { backendTimeout: BUDGET_MS },
      service.clock,
    );
    const issued = await atOnce(60, (index) => service.sessions.createSession({ user: { userId: `user ${index}` } }));
    const codes = async () => {
      const reads = await Promise.allSettled(issued.map(({ token }) => other.sessions.getSession(token)));
      return reads.map((read) => (read.status === 'fulfilled' ? 'ok' : (read.reason as { status: number }).status));
    };
    expect(new Set(await codes())).toEqual(new Set(['ok']));

    await servers[1].kill();
    const during = await codes();
    expect(during.filter((code) => code === 503).length).toBeGreaterThan(5);
    expect(during.filter((code) => code === 'ok').length).toBeGreaterThan(20);
    expect(new Set(during).size).toBe(2);
    await servers[1].start();
    expect(await codes()).toEqual(during.map((code) => (code === 503 ? 401 : code)));

    await service.close();
    await other.close();
    await Promise.all(servers.map((server) => server.stop()));
  });
});

describe('a server that is full', () => {
  it('evicts: whoever was forgotten is logged out, and nobody else is let in', async () => {
    const server = await MemcachedServer.start(...ONE_MEGABYTE);
    const service = await startService(new MemcachedBackend({ servers: server.address }), { backendTimeout: 5000 });
    const issued = [];
    for (let batch = 0; batch < 60; batch++) {
      issued.push(
        ...(await atOnce(50, (index) =>
          service.sessions.createSession({ user: { userId: `${batch}/${index}` }, data: { filler: 'x'.repeat(2000) } }),
        )),
      );
    }
    let gone = 0;
    for (const { token, session } of issued) {
      const userId = session.user?.userId;
      const read = await service.sessions.getSession(token).catch((error: unknown) => error);
      if (read instanceof Session) expect(read.user?.userId).toBe(userId);
      else expect(read).toMatchObject({ status: 401 });
      if (!(read instanceof Session)) gone++;
    }
    expect(gone).toBeGreaterThan(0);
    expect(gone).toBeLessThan(issued.length);
    await service.close();
    await server.stop();
  });

  it('refuses (-M): what is there stays readable, a write is 503 and leaves it as it was, log-out works', async () => {
    const server = await MemcachedServer.start(...ONE_MEGABYTE, '-M');
    const backend = new MemcachedBackend({ servers: server.address });
    const service = await startService(backend, { backendTimeout: 5000 });
    const { sessions } = service;
    const { token } = await sessions.createSession({ user: { userId: 'ann' }, data: { n: 1 } });
    const second = await sessions.createSession({ user: { userId: 'ann' } });
    const third = await sessions.createSession({ user: { userId: 'ann' } });
    await fill();

    const session = await sessions.getSession(token);
    session.data.more = 'x'.repeat(300);
    await expect(sessions.updateSession(session)).rejects.toMatchObject({ status: 503 });
    await expect(sessions.createSession()).rejects.toMatchObject({ status: 503 });
    expect((await sessions.getSession(token)).data).toEqual({ n: 1 });
    expect(await sessions.deleteSession(second.session.sessionId)).toBe(true);
    await expect(sessions.getSession(second.token)).rejects.toMatchObject({ status: 401 });
    expect(await backend.delete(third.session.sessionId, { ifVersion: 1 })).toBe('deleted');
    await expect(sessions.getSession(third.token)).rejects.toMatchObject({ status: 401 });
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
    await expect(sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    await service.close();
    await server.stop();

    /** Foreign items of each size, until no more of it are taken: the server has places for some sizes, and not for others. */
    async function fill(): Promise<void> {
      const client = server.client();
      for (let size = 60_000; size > 1; size = Math.floor(size / 1.1)) {
        let taken = true;
        for (let count = 0; taken; count++) {
          taken = await client.add(`filler ${size} ${count}`.replaceAll(' ', '-'), 'x'.repeat(size)).catch(() => false);
        }
      }
      client.close();
    }
  });
});
