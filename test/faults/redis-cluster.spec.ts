import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, HttpCode, Logger, Post, Req, UseGuards } from '@nestjs/common';
import { Cluster } from 'ioredis';
import {
  CurrentSession,
  FlashMessages,
  Session,
  SessionBackendError,
  SessionGuard,
  SessionService,
  UseSession,
  type FlashMessage,
} from 'nestjs-sessionx';
import { RedisBackend, sessionClusterOptions } from 'nestjs-sessionx/redis';
import { backendConformance, type DamagedKey } from 'nestjs-sessionx/testing';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';

import { startApp } from '../support/apps.js';
import { fakeIntervals } from '../support/fake-intervals.js';
import { FaultProxy, redisFrameLength } from '../support/fault-proxy.js';
import { newerText } from '../support/newer-records.js';
import { redisCluster } from '../support/cluster-backend.js';
import { until, type ClusterNode, type RedisCluster } from '../support/redis-cluster.js';
import { atOnce, outcomes, startService, type ServiceUnderTest } from '../support/services.js';

const BUDGET_MS = 1000;
/** What a loaded machine may add to a timeout. */
const SLACK_MS = 1500;
/** Of the connection that listens for ended sessions. */
const CHECK_EVERY_MS = 10_000;
/** For what must not fail: room for a loaded machine. */
const AMPLE_MS = 8000;

const store = redisCluster();
let cluster: RedisCluster;

beforeAll(async () => {
  await store.start();
  cluster = store.cluster;
}, 60_000);

afterAll(() => store.stop());

function backend(timeoutMs = AMPLE_MS): RedisBackend {
  return new RedisBackend(cluster.client(sessionClusterOptions(timeoutMs)));
}

/** Connections that listen for ended sessions, on all nodes. */
async function subscribers(): Promise<number> {
  const counts = await Promise.all(
    cluster.nodes.map(({ admin }) => admin.pubsub('NUMSUB', 'session:ended') as Promise<[string, number]>),
  );
  return counts.reduce((sum, [, count]) => sum + count, 0);
}

function indexOf(sessionId: string): string {
  return `session:{${sessionId.slice(0, 16)}}`;
}

function recordOf(sessionId: string): string {
  return indexOf(sessionId) + sessionId.slice(16);
}

describe('a Redis Cluster keeps the contract:', () => {
  const subject = {
    create: () => store.another(),
    damage: async ({ keyPrefix, id }: DamagedKey) => {
      const key = `${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`;
      await (await cluster.masterOf(key)).admin.set(key, 'something else');
    },
    writeNewer: async ({ keyPrefix, id }: DamagedKey) => {
      const key = `${keyPrefix}{${id.slice(0, 16)}}${id.slice(16)}`;
      const { admin } = await cluster.masterOf(key);
      await admin.set(key, newerText(await admin.get(key)), 'KEEPTTL');
    },
  };
  for (const { name, run } of backendConformance(subject)) it(name, run);
});

describe('sessions in a Redis Cluster', () => {
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeEach(async () => {
    // Nothing is looked up for a reason of its own.
    const options = { backendTimeout: AMPLE_MS, maxSessionsPerUser: 10, liveCheckInterval: 3600 };
    one = await startService(backend(), options);
    two = await startService(backend(), options, one.clock);
  });

  afterEach(async () => {
    await one.close();
    await two.close();
  });

  it('lie in one slot for each user, and the users on all masters', async () => {
    const sessions = await atOnce(60, (index) =>
      one.sessions.createSession({ user: { userId: `spread ${Math.floor(index / 2)}` } }),
    );
    const nodes = new Set<ClusterNode>();
    for (const { session } of sessions) {
      const index = indexOf(session.sessionId);
      expect(await cluster.slotOf(index)).toBe(await cluster.slotOf(recordOf(session.sessionId)));
      const master = await cluster.masterOf(index);
      expect(await master.admin.exists(index, recordOf(session.sessionId))).toBe(2);
      nodes.add(master);
    }
    expect(nodes.size).toBe(3);
  });

  it('are there for 60 first requests at once of a process that has just started', async () => {
    const fresh = await startService(backend(), { backendTimeout: AMPLE_MS });
    const { errors } = await outcomes(
      Array.from({ length: 60 }, (_, index) => fresh.sessions.createSession({ user: { userId: `first ${index}` } })),
    );
    expect(errors).toEqual([]);
    await fresh.close();
  });

  it('merge: 50 writers of their own keys, and 200 counts, of two processes', async () => {
    const { session, token } = await one.sessions.createSession({ user: { userId: 'merge' }, data: { n: 0 } });
    const writers = (index: number) => (index % 2 === 0 ? one : two).sessions;
    const loaded = await atOnce(50, (index) => writers(index).getSession(token));
    await atOnce(50, async (index) => {
      loaded[index]!.data[`key${index}`] = index;
      await writers(index).updateSession(loaded[index]!);
    });
    await atOnce(200, (index) =>
      writers(index).update(session.sessionId, ({ data }) => {
        data.n = Number(data.n) + 1;
      }),
    );
    const { data } = await two.sessions.getSession(token);
    expect(Object.keys(data)).toHaveLength(51);
    expect(data.n).toBe(200);
  });

  it('end for good: a change that was read before does not bring them back', async () => {
    const { session, token } = await one.sessions.createSession({ user: { userId: 'ended' } });
    const stale = await two.sessions.getSession(token);
    stale.data.late = true;
    expect(await one.sessions.deleteSession(session.sessionId)).toBe(true);
    await expect(two.sessions.updateSession(stale)).rejects.toMatchObject({ status: 401 });
    await expect(one.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  it('end everywhere at once, even while logins run: what lives is listed', async () => {
    await atOnce(8, () => one.sessions.createSession({ user: { userId: 'everywhere' } }));
    const logins = atOnce(8, () => two.sessions.createSession({ user: { userId: 'everywhere' } }));
    const ended = await one.sessions.deleteUserSessions('everywhere');
    const tokens = (await logins).map(({ token }) => token);
    const { values: alive } = await outcomes(tokens.map((token) => two.sessions.getSession(token)));
    const listed = (await one.sessions.listUserSessions('everywhere')).map(({ sessionId }) => sessionId);
    expect(listed.sort()).toEqual(alive.map(({ sessionId }) => sessionId).sort());
    expect(ended + alive.length + (await evicted())).toBe(16);
    expect(await two.sessions.deleteUserSessions('everywhere')).toBe(alive.length);
  });

  function evicted(): Promise<number> {
    const all = [...one.events, ...two.events];
    return Promise.resolve(all.filter((event) => event.type === 'ended' && event.reason === 'evicted-by-limit').length);
  }

  it('end what is open in another process, wherever their users lie', async () => {
    const users = Array.from({ length: 12 }, (_, index) => `watched ${index}`);
    const watched = await Promise.all(
      users.map(async (userId) => {
        const { session, token } = await one.sessions.createSession({ user: { userId } });
        const signal = two.sessions.whileAlive(await two.sessions.getSession(token));
        return { session, signal };
      }),
    );
    await until('the second process listens', async () => (await subscribers()) === 1);
    const aborted = () => watched.filter(({ signal }) => signal.aborted).length;
    const [revoked, renamed, ...others] = watched;
    await one.sessions.deleteSession(revoked!.session.sessionId);
    const { session: present } = await one.sessions.regenerateSessionId(renamed!.session);
    for (const { session } of others) await one.sessions.deleteUserSessions(session.user!.userId);
    await until('all but one have ended', () => aborted() === users.length - 1);
    expect(renamed!.signal.aborted).toBe(false);
    await one.sessions.invalidateSession(present);
    await until('the last one has ended', () => aborted() === users.length);
  });

  it('hand out a flash message once, to one of 20 takers of two processes', async () => {
    const { session, token } = await one.sessions.createSession();
    session.addFlashMessage('saved');
    await one.sessions.updateSession(session);
    const holders = await atOnce(20, (index) => (index % 2 === 0 ? one : two).sessions.getSession(token));
    const taken = await atOnce(20, (index) => (index % 2 === 0 ? one : two).sessions.takeFlash(holders[index]!));
    expect(taken.flat().map(({ message }) => message)).toEqual(['saved']);
  });

  it('keep the limit: of 40 logins at once of two processes ten live', async () => {
    await atOnce(40, (index) => (index % 2 === 0 ? one : two).sessions.createSession({ user: { userId: 'limited' } }));
    expect(await one.sessions.listUserSessions('limited')).toHaveLength(10);
    expect(await one.sessions.deleteUserSessions('limited')).toBe(10);
  });

  it('survive SCRIPT FLUSH on all nodes, under load', async () => {
    const { session } = await one.sessions.createSession({ user: { userId: 'flushed' }, data: { n: 0 } });
    const count = () =>
      atOnce(40, (index) =>
        (index % 2 === 0 ? one : two).sessions.update(session.sessionId, ({ data }) => {
          data.n = Number(data.n) + 1;
        }),
      );
    await count();
    const counting = count();
    await Promise.all((await cluster.masters()).map(({ admin }) => admin.script('FLUSH')));
    await counting;
    await count();
    expect((await one.sessions.update(session.sessionId, () => undefined)).data.n).toBe(120);
  });
});

@Controller()
class ClusterController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    const { session, token } = await this.sessions.start(request, { data: { cart: ['tea'] } });
    session.addFlashMessage('in the cart');
    return { token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: { headers: Record<string, string | undefined> }) {
    return { token: (await this.sessions.login(request, { userId: request.headers['x-user']! })).token };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session, @FlashMessages() messages: FlashMessage[]) {
    return { userId: session.user?.userId, cart: session.data.cart, messages: messages.map(({ message }) => message) };
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('new-id')
  async newId(@CurrentSession() session: Session) {
    return { token: (await this.sessions.regenerateSessionId(session)).token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }
}

it('every public call works, wherever the anonymous session and the user lie: no command spans slots', async () => {
  const app = await startApp({
    controllers: [ClusterController],
    session: { backend: backend(), backendTimeout: AMPLE_MS, maxSessionsPerUser: 3 },
  });
  const call = async (path: string, token?: string | null, user = '') => {
    const response = await app.fetch(path, {
      method: path === '/me' ? 'GET' : 'POST',
      headers: { 'x-user': user, ...(token ? { authorization: `Bearer ${token}` } : {}) },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> & { token: string } };
  };
  const slots = new Set<number>();
  for (let visitor = 0; visitor < 12; visitor++) {
    const user = `visitor ${visitor}`;
    const cart = await call('/cart');
    const login = await call('/login', cart.body.token, user);
    expect([cart.status, login.status]).toEqual([200, 200]);
    expect((await call('/me', cart.body.token)).status).toBe(401);
    expect(await call('/me', login.body.token)).toMatchObject({
      status: 200,
      body: { userId: user, cart: ['tea'], messages: ['in the cart'] },
    });
    const fresh = await call('/new-id', login.body.token);
    const again = await call('/login', fresh.body.token, user);
    expect(again.status).toBe(200);

    const sessions = app.app.get(SessionService);
    const [summary] = await sessions.listUserSessions(user);
    slots.add(await cluster.slotOf(indexOf(summary!.sessionId)));
    const { token } = await sessions.renewSession(again.body.token);
    await sessions.update(summary!.sessionId, ({ data }) => {
      data.seen = true;
    });
    const other = await sessions.createSession({ user: { userId: user } });
    expect(await sessions.deleteUserSessions(user, { except: summary!.sessionId })).toBe(1);
    await expect(sessions.getSession(other.token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect((await call('/logout', token)).body).toEqual({ ended: true });
    const last = await sessions.createSession({ user: { userId: user } });
    expect(await sessions.invalidateSession(last.session)).toBe(true);
    expect(await sessions.clearExpiredSessions()).toBe(0);
  }
  expect(slots.size).toBeGreaterThan(6);
  await app.close();
});

describe('what is open in a process that reaches the nodes by addresses of its own', () => {
  let proxies: FaultProxy[];
  let mapped: Map<string, { host: string; port: number }>;
  let client: Cluster;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeEach(async () => {
    proxies = await Promise.all(cluster.nodes.map(({ server }) => FaultProxy.to(server.port, redisFrameLength)));
    const addresses = proxies.map(({ address }) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) }));
    mapped = new Map(cluster.nodes.map(({ server }, index) => [`127.0.0.1:${server.port}`, addresses[index]!]));
    const natMap = (address: string) => mapped.get(address) ?? null;
    for (const { admin } of cluster.nodes)
      await admin.call('ACL', 'SETUSER', 'shop', 'on', '>secret', 'allkeys', 'allchannels', 'allcommands');
    const user = { username: 'shop', password: 'secret' };
    client = new Cluster(addresses, { ...sessionClusterOptions(BUDGET_MS, user), natMap });
    one = await startService(backend(), { backendTimeout: AMPLE_MS });
    two = await startService(
      new RedisBackend(client),
      { backendTimeout: BUDGET_MS, liveCheckInterval: 3600 },
      one.clock,
    );
  });

  afterEach(async () => {
    jest.useRealTimers();
    await one.close();
    await two.close();
    client.disconnect();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  });

  /** A session that `one` has made, which `two` watches and listens for. */
  async function watched() {
    const { session, token } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const signal = two.sessions.whileAlive(await two.sessions.getSession(token));
    await until('the second process listens', async () => (await subscribers()) === 1);
    return { session, token, signal };
  }

  async function endsAtOnce({ session, token, signal }: Awaited<ReturnType<typeof watched>>): Promise<void> {
    // A notice asks for a look.
    await until(
      'sessions can be read',
      async () => (await outcomes([two.sessions.getSession(token)])).errors.length === 0,
    );
    await one.sessions.deleteSession(session.sessionId);
    await until('it has ended', () => signal.aborted);
  }

  it('is listened for by one connection, with the user of its client', async () => {
    const open = await watched();
    const clients = await Promise.all(cluster.nodes.map(({ admin }) => admin.client('LIST')));
    expect(clients.join().match(/ sub=1 .* user=\w+/g)).toEqual([expect.stringContaining('user=shop')]);
    await endsAtOnce(open);
  });

  const outages = [
    {
      name: 'are down',
      begin: (proxy: FaultProxy) => proxy.goDown(),
      end: (proxy: FaultProxy) => proxy.comeBack(),
    },
    {
      name: 'turn everybody away',
      begin: (proxy: FaultProxy) => Promise.resolve().then(() => proxy.turnAway()),
      end: (proxy: FaultProxy) => Promise.resolve().then(() => proxy.heal()),
    },
  ];

  it.each(outages)(
    'costs no more than a few attempts while all nodes $name, and ends by notices again afterwards',
    async ({ begin, end }) => {
      const open = await watched();
      let attempts = 0;
      const count = (): void => {
        attempts++;
      };
      await Promise.all(proxies.map(begin));
      subscribe('net.client.socket', count);
      await sleep(300);
      unsubscribe('net.client.socket', count);
      expect(attempts).toBeLessThan(100);
      await Promise.all(proxies.map(end));
      await until('it listens again', async () => (await subscribers()) === 1);
      await endsAtOnce(open);
    },
  );

  it('is listened for at another node when its own one leaves the cluster, and stays open', async () => {
    fakeIntervals();
    const open = await watched();
    // As after a change of the network: the nodes are others for the client.
    mapped.clear();
    client.refreshSlotsCache();
    const fromProxies = () => proxies.reduce((sum, proxy) => sum + proxy.openConnections, 0);
    await until('only the subscription is left', () => fromProxies() === 1);
    jest.advanceTimersByTime(CHECK_EVERY_MS);
    await until('it has left too', () => fromProxies() === 0);
    // The proxy keeps its own connection to the node that was left.
    await until('it listens again', async () => (await subscribers()) === 2);
    await endsAtOnce(open);
  });
});

describe('a slot on its way to another node', () => {
  let service: ServiceUnderTest;
  let patient: ServiceUnderTest;

  beforeEach(async () => {
    // At the limit, so that a login has to look at the other sessions.
    service = await startService(backend(400), { backendTimeout: 400, maxSessionsPerUser: 4 });
    patient = await startService(backend(), { backendTimeout: AMPLE_MS, maxSessionsPerUser: 100 }, service.clock);
  });

  afterEach(async () => {
    await service.close();
    await patient.close();
  });

  async function placeOf(sessionId: string): Promise<{ slot: number; from: ClusterNode; to: ClusterNode }> {
    const from = await cluster.masterOf(indexOf(sessionId));
    const to = (await cluster.masters()).find((master) => master !== from)!;
    return { slot: await cluster.slotOf(indexOf(sessionId)), from, to };
  }

  it('loses nothing under traffic, refuses nobody, and fails no call', async () => {
    const user = { userId: 'moving' };
    const { session, token } = await patient.sessions.createSession({ user, data: { n: 0 } });
    const anonymous = await patient.sessions.createSession({ data: { n: 0 } });
    let moving = true;
    let counted = 0;
    const count = ({ data }: Session) => {
      data.n = Number(data.n) + 1;
    };
    const worker = async (work: () => Promise<unknown>) => {
      while (moving) await work();
    };
    const traffic = Promise.all([
      worker(() => patient.sessions.getSession(token)),
      worker(() => patient.sessions.renewSession(token)),
      worker(async () => {
        await patient.sessions.update(session.sessionId, count);
        counted++;
      }),
      worker(() => patient.sessions.update(anonymous.session.sessionId, count)),
      worker(async () => {
        const further = await patient.sessions.createSession({ user });
        const ids = (await patient.sessions.listUserSessions(user.userId)).map(({ sessionId }) => sessionId);
        expect(ids).toContain(further.session.sessionId);
        expect(ids).toContain(session.sessionId);
        await patient.sessions.regenerateSessionId(further.session);
        expect(await patient.sessions.deleteUserSessions(user.userId, { except: session.sessionId })).toBe(1);
      }),
    ]).catch((error: unknown) => error);

    try {
      for (let round = 0; round < 12; round++) {
        const { slot, from, to } = await placeOf(round % 3 === 2 ? anonymous.session.sessionId : session.sessionId);
        await cluster.beginMove(slot, from, to);
        await cluster.finishMove(slot, from, to);
      }
    } finally {
      moving = false;
    }
    expect(await traffic).not.toBeInstanceOf(Error);
    expect(counted).toBeGreaterThan(0);
    expect((await patient.sessions.getSession(token)).data.n).toBe(counted);
    expect(await patient.sessions.deleteUserSessions(user.userId)).toBe(1);
  });

  const torn = [
    { what: 'the index', first: (ids: string[]) => [indexOf(ids[0]!)] },
    { what: 'some sessions', first: (ids: string[]) => ids.slice(0, 2).map(recordOf) },
    {
      what: 'what a log-out everywhere has not ended',
      first: (ids: string[]) => [`${indexOf(ids[0]!)}:ending`],
      isEnding: true,
    },
    { what: 'the index of a log-out everywhere', first: (ids: string[]) => [indexOf(ids[0]!)], isEnding: true },
  ];

  it.each(torn)(
    'and $what already there: what needs the rest is refused, not done by halves',
    async ({ first, isEnding }) => {
      const user = { userId: `torn ${Math.random()}` };
      const made = await atOnce(4, () => patient.sessions.createSession({ user }));
      const ids = made.map(({ session }) => session.sessionId);
      const { slot, from, to } = await placeOf(ids[0]!);
      if (isEnding) {
        // As a process leaves it that ends in the middle of the work.
        const index = indexOf(ids[0]!);
        await from.admin.rename(index, `${index}:ending`);
        await from.admin.zadd(index, '-inf', ':ending');
        await from.admin.pexpire(index, 3_600_000);
      }
      await cluster.beginMove(slot, from, to);
      for (const key of first(ids)) await cluster.moveKey(key, from, to);

      for (const { token } of made) {
        expect((await service.sessions.getSession(token)).user?.userId).toBe(user.userId);
      }
      const started = performance.now();
      const { errors } = await outcomes<unknown>([
        service.sessions.listUserSessions(user.userId),
        service.sessions.createSession({ user }),
        service.sessions.regenerateSessionId(made[3]!.session),
      ]);
      expect(errors).toHaveLength(3);
      for (const error of errors) {
        expect(error).toBeInstanceOf(SessionBackendError);
        // Which is what a script ends with that has come to a key which is not there.
        expect(String(error)).not.toContain('ReplyError ERR');
      }
      expect(performance.now() - started).toBeLessThan(400 + SLACK_MS);

      // Asked before the move goes on, answered when it is done.
      const ended = patient.sessions.deleteUserSessions(user.userId);
      await cluster.finishMove(slot, from, to);
      expect(await ended).toBe(4);
      expect(await cluster.keys(`${indexOf(ids[0]!)}*`)).toEqual([]);
    },
  );

  it('takes along the sessions of a user who is logged out everywhere part by part, and all of them end', async () => {
    const user = { userId: `many ${Math.random()}` };
    const unlimited = await startService(
      backend(),
      { backendTimeout: AMPLE_MS, maxSessionsPerUser: null },
      service.clock,
    );
    const made = await atOnce(600, () => unlimited.sessions.createSession({ user }));
    const id = made[0]!.session.sessionId;
    const { slot, from, to } = await placeOf(id);
    await cluster.beginMove(slot, from, to);
    for (const { session } of made.slice(0, 300)) await cluster.moveKey(recordOf(session.sessionId), from, to);
    const ending = unlimited.sessions.deleteUserSessions(user.userId);
    await cluster.finishMove(slot, from, to);
    expect(await ending).toBe(600);

    const again = await atOnce(600, () => unlimited.sessions.createSession({ user }));
    const moving = (async () => {
      await cluster.beginMove(slot, to, from);
      await cluster.finishMove(slot, to, from);
    })();
    const count = await unlimited.sessions.deleteUserSessions(user.userId);
    await moving;
    expect(count).toBe(600);
    const { values } = await outcomes([...made, ...again].map(({ token }) => unlimited.sessions.getSession(token)));
    expect(values).toEqual([]);
    expect(await cluster.keys(`${indexOf(id)}*`)).toEqual([]);
    await unlimited.close();
  });

  it('does not keep anonymous sessions from being made, written, renewed and ended', async () => {
    const { session, token } = await service.sessions.createSession({ data: { n: 1 } });
    const { slot, from, to } = await placeOf(session.sessionId);
    for (const half of ['before', 'after'] as const) {
      if (half === 'before') await cluster.beginMove(slot, from, to);
      else await cluster.moveKey(recordOf(session.sessionId), from, to);
      session.data[half] = true;
      await service.sessions.updateSession(session);
      service.clock.advanceSeconds(10);
      await service.sessions.renewSession(token);
    }
    expect((await service.sessions.getSession(token)).data).toEqual({ n: 1, before: true, after: true });
    const { session: next, token: fresh } = await service.sessions.regenerateSessionId(
      await service.sessions.getSession(token),
    );
    expect((await service.sessions.getSession(fresh!)).data.n).toBe(1);
    expect(await service.sessions.deleteSession(next.sessionId)).toBe(true);
    await cluster.finishMove(slot, from, to);
    expect(await cluster.keys(`${indexOf(session.sessionId)}*`)).toEqual([]);
  });
});

describe.each(['killed', 'frozen'] as const)('a master that is %s', (fault) => {
  it('is a 503 within the budget until its replica takes over, and then all goes on with every session', async () => {
    await cluster.healthy();
    await cluster.replicated();
    const service = await startService(backend(BUDGET_MS), { backendTimeout: BUDGET_MS });
    const other = await startService(backend(BUDGET_MS), { backendTimeout: BUDGET_MS }, service.clock);
    const made = await atOnce(12, (index) =>
      service.sessions.createSession({ user: { userId: `${fault} ${index}` }, data: { index } }),
    );
    const [{ session, token }] = made as [(typeof made)[0]];
    const lost = await cluster.masterOf(indexOf(session.sessionId));
    // WAIT counts what was written before on its own connection.
    await lost.admin.set(`${indexOf(session.sessionId)}written`, 'x');
    expect(await lost.admin.wait(1, 5000)).toBe(1);

    if (fault === 'killed') await lost.server.kill();
    else lost.server.pause();

    let failures = 0;
    await until('the session can be read again', async () => {
      const started = performance.now();
      const results = await outcomes<unknown>([
        service.sessions.getSession(token),
        service.sessions.update(session.sessionId, () => undefined),
        other.sessions.getSession(token),
      ]);
      expect(performance.now() - started).toBeLessThan(BUDGET_MS + SLACK_MS);
      for (const error of results.errors) expect(error).toMatchObject({ status: 503 });
      failures += results.errors.length;
      return results.errors.length === 0;
    });
    expect(failures).toBeGreaterThan(0);

    await cluster.healthy();
    for (const [index, { session: before, token: theirs }] of made.entries()) {
      expect((await service.sessions.getSession(theirs)).data).toEqual({ index });
      const { data } = await other.sessions.update(before.sessionId, (current) => {
        current.data.after = true;
      });
      expect(data).toEqual({ index, after: true });
      expect((await other.sessions.createSession({ user: before.user })).token).toBeDefined();
      expect(await service.sessions.deleteUserSessions(`${fault} ${index}`)).toBe(2);
    }

    if (fault === 'killed') await lost.server.start();
    else lost.server.resume();
    await until('the old master is a replica', async () => {
      const info = await lost.admin.info('replication').catch(() => '');
      return info.includes('role:slave') && info.includes('master_link_status:up');
    });
    await expect(other.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    await service.close();
    await other.close();
  });
});

it('a master that does not answer hides from nobody that a session on another one has ended', async () => {
  await cluster.healthy();
  await cluster.replicated();
  const budgetMs = BUDGET_MS / 2;
  const service = await startService(backend(budgetMs), { backendTimeout: budgetMs, liveCheckInterval: 3600 });
  const made = await atOnce(12, () => service.sessions.createSession());
  const places = await Promise.all(made.map(({ session }) => cluster.masterOf(recordOf(session.sessionId))));
  const [hidden, ended] = [0, places.findIndex((place) => place !== places[0])];
  // As if it had expired: no script of ours tells it.
  await places[ended]!.admin.del(recordOf(made[ended]!.session.sessionId));
  // Its clients alone: the other nodes do not miss it.
  await places[hidden]!.admin.client('PAUSE', 4 * budgetMs, 'ALL');
  const [hiddenSignal, endedSignal] = [hidden, ended].map((index) => service.sessions.whileAlive(made[index]!.session));
  await until('it has ended', () => endedSignal!.aborted);
  expect(hiddenSignal!.aborted).toBe(false);
  await service.close();
  await places[hidden]!.admin.ping();
});

describe('a Cluster client', () => {
  async function warnings(client: ReturnType<RedisCluster['client']>): Promise<string[]> {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    try {
      const service = await startService(new RedisBackend(client));
      await service.close();
      return warn.mock.calls.map(([message]) => String(message));
    } finally {
      warn.mockRestore();
    }
  }

  it('made with sessionClusterOptions is taken without a word, and left open', async () => {
    const client = cluster.client(sessionClusterOptions(1000, { connectionName: 'sessions' }));
    expect(await warnings(client)).toEqual([]);
    expect(await client.ping()).toBe('PONG');
  });

  it.each([true, false])('serves the first call after the start (lazyConnect: %p)', async (lazyConnect) => {
    for (let start = 0; start < 10; start++) {
      const client = cluster.client({ ...sessionClusterOptions(1000), lazyConnect });
      const service = await startService(new RedisBackend(client));
      await expect(service.sessions.listUserSessions('ann')).resolves.toEqual([]);
      await service.close();
    }
  });

  it('is refused with options that would break a promise, and warned of with those that delay an answer', async () => {
    const good = sessionClusterOptions(1000);
    const resent = cluster.client({ ...good, retryDelayOnFailover: 100 });
    await expect(startService(new RedisBackend(resent))).rejects.toThrow(/retryDelayOnFailover must be 0/);
    const stale = cluster.client({ ...good, scaleReads: 'slave' });
    await expect(startService(new RedisBackend(stale))).rejects.toThrow(/scaleReads must be "master"/);
    const twice = cluster.client({ clusterNodeRetryStrategy: () => 100, retryDelayOnFailover: 0 });
    await expect(startService(new RedisBackend(twice))).rejects.toThrow(/autoResendUnfulfilledCommands must be false/);
    const late = cluster.client({ ...good, enableOfflineQueue: true, redisOptions: {} });
    expect((await warnings(late)).join()).toMatch(/enableOfflineQueue.*commandTimeout.*socketTimeout/);
  });
});
