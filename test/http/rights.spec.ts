import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Injectable, Post, Req, UseGuards } from '@nestjs/common';
import {
  AllowAnonymous,
  CurrentSession,
  CurrentUser,
  SessionEvents,
  SessionGuard,
  SessionService,
  UseSession,
  type Session,
  type SessionEvent,
  type SessionModuleOptions,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend, memory, type BackendUnderTest } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce } from '../support/services.js';

/** So short that a test waits for the second look, and long enough for a login that is held up. */
const TIMEOUT_MS = 1000;
const OWN = { 'sec-fetch-site': 'same-origin' };

/** The database of the application: all processes read the same. */
@Injectable()
class Users {
  static roles = ['admin', 'user'];

  find(): { userId: string; roles: string[] } {
    return { userId: 'ann', roles: [...Users.roles] };
  }
}

@Controller()
class RightsController {
  constructor(
    private readonly sessions: SessionService,
    private readonly users: Users,
  ) {}

  @UseSession()
  @HttpCode(200)
  @Post('visit')
  async visit(@Req() request: object) {
    return { token: (await this.sessions.start(request)).token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    return { token: (await this.sessions.login(request, this.users.find())).token };
  }

  @UseGuards(SessionGuard)
  @Get('roles')
  roles(@CurrentUser() { roles }: SessionUser) {
    return roles;
  }

  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('demote-me')
  async demote(@CurrentSession() session: Session) {
    Users.roles = ['user'];
    session.data.before = session.user?.roles;
    const changed = await this.sessions.updateUserSessions('ann', (user) => {
      user.roles = ['user'];
    });
    session.user!.email = 'new@example.com';
    return { changed };
  }

  @AllowAnonymous()
  @UseGuards(SessionGuard)
  @HttpCode(200)
  @Post('password')
  async password(@Req() request: object, @CurrentSession() session: Session) {
    session.data.changed = true;
    const { session: own, token, csrfToken, ended } = await this.sessions.credentialsChanged(request);
    return { same: own === session, id: own.sessionId, token, csrf: csrfToken !== null, ended };
  }

  @UseSession()
  @Post('password-without-guard')
  async unguarded(@Req() request: object) {
    await this.sessions.credentialsChanged(request);
  }
}

interface Instances {
  readonly apps: readonly [AppUnderTest, AppUnderTest];
  readonly barrier: BarrierBackend;
  readonly second: BarrierBackend;
  readonly events: SessionEvent[];
  close(): Promise<void>;
}

async function startTwoApps(
  platform: (typeof PLATFORMS)[number],
  store: BackendUnderTest,
  session: Partial<SessionModuleOptions> = {},
): Promise<Instances> {
  await store.start();
  const barrier = new BarrierBackend(store.another());
  const second = new BarrierBackend(store.another());
  const start = ({ backend }: BarrierBackend) =>
    startApp({
      platform,
      controllers: [RightsController],
      providers: [Users],
      session: { ...session, backend, backendTimeout: TIMEOUT_MS },
    });
  const apps = [await start(barrier), await start(second)] as const;
  const events: SessionEvent[] = [];
  for (const { app } of apps) app.get(SessionEvents).all.subscribe((event) => events.push(event));
  return {
    apps,
    barrier,
    second,
    events,
    close: async () => {
      for (const app of apps) await app.close();
      await store.stop();
    },
  };
}

async function tokenFrom(app: AppUnderTest, path: string, token?: string): Promise<string> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await app.fetch(path, { method: 'POST', headers });
  expect(response.status).toBe(200);
  return ((await response.json()) as { token: string }).token;
}

describe.each(PLATFORMS)('rights that change at once, on %s', (platform) => {
  beforeEach(() => {
    Users.roles = ['admin', 'user'];
  });

  describe.each(everyBackend())('on $name', (store) => {
    let instances: Instances;
    let one: AppUnderTest;
    let two: AppUnderTest;

    beforeAll(async () => {
      instances = await startTwoApps(platform, store);
      [one, two] = instances.apps;
    });

    afterEach(async () => {
      instances.barrier.heal();
      await two.app.get(SessionService).deleteUserSessions('ann');
    });

    afterAll(() => instances.close());

    const rolesOf = async (token: string): Promise<unknown> => {
      const response = await two.fetch('/roles', { headers: { authorization: `Bearer ${token}` } });
      expect(response.status).toBe(200);
      return response.json();
    };

    it('a demotion while 20 logins run, half of them with a session from before, leaves no old role', async () => {
      const visitors = await atOnce(10, () => tokenFrom(two, '/visit'));
      const before = await tokenFrom(two, '/login');
      const { barrier } = instances;
      // One that is held up before the store until all sessions were listed once, and one before its last step.
      const created = barrier.stopNext('create');
      const late = tokenFrom(one, '/login');
      await created.arrived;
      const activated = barrier.stopLastStepOfLogin();
      const pending = tokenFrom(one, '/login', visitors[0]);
      await activated.arrived;
      const logins = atOnce(19, (index) => tokenFrom(index % 2 === 0 ? one : two, '/login', visitors[index + 1]));
      const listed = barrier.stopNext('listByUser');
      const demotion = one.fetch('/demote-me', {
        method: 'POST',
        headers: { authorization: `Bearer ${before}` },
      });
      await listed.arrived;
      listed.letGo();
      await listed.done;
      created.letGo();
      activated.letGo();
      const tokens = [before, await late, await pending, ...(await logins)];
      const response = await demotion;
      expect(response.status).toBe(200);
      expect(((await response.json()) as { changed: number }).changed).toBeGreaterThan(2);
      for (const token of tokens) expect(await rolesOf(token)).toEqual(['user']);
      expect(await two.app.get(SessionService).listUserSessions('ann')).toHaveLength(22);
      const changed = await two.app.get(SessionService).getSession(before);
      expect([changed.data, changed.user?.email]).toEqual([{ before: ['admin', 'user'] }, 'new@example.com']);
    });

    it('a login that is not finished at the second look, and brings the old role, is a conflict', async () => {
      const { barrier, second } = instances;
      const sessions = two.app.get(SessionService);
      const visitor = await tokenFrom(one, '/visit');
      const before = await tokenFrom(two, '/login');
      const firstLook = second.stopNext('listByUser');
      const updating = sessions.updateUserSessions('ann', (user) => void (user.roles = ['user']));
      await firstLook.arrived;
      firstLook.letGo();
      await firstLook.done;
      const secondLook = second.stopNext('listByUser');
      await secondLook.arrived;
      const lastStep = barrier.stopLastStepOfLogin();
      const login = one.fetch('/login', { method: 'POST', headers: { authorization: `Bearer ${visitor}` } });
      await lastStep.arrived;
      secondLook.letGo();
      expect(await updating).toBe(1);
      lastStep.letGo();
      const response = await login;
      expect([response.status, response.headers.get('x-session-token')]).toEqual([409, null]);
      expect(await rolesOf(before)).toEqual(['user']);
      expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    });

    it('a login that is not finished at the second look, and brings the new role, succeeds', async () => {
      const { barrier, second } = instances;
      const visitor = await tokenFrom(one, '/visit');
      const firstLook = second.stopNext('listByUser');
      Users.roles = ['user'];
      const updating = two.app.get(SessionService).updateUserSessions('ann', (user) => void (user.roles = ['user']));
      await firstLook.arrived;
      firstLook.letGo();
      await firstLook.done;
      const secondLook = second.stopNext('listByUser');
      await secondLook.arrived;
      const lastStep = barrier.stopLastStepOfLogin();
      const login = tokenFrom(one, '/login', visitor);
      await lastStep.arrived;
      secondLook.letGo();
      expect(await updating).toBe(0);
      lastStep.letGo();
      expect(await rolesOf(await login)).toEqual(['user']);
    });
  });

  describe.each<[name: string, options: Partial<SessionModuleOptions>]>([
    ['by header', {}],
    ['by cookie', { tokenSourcePriority: ['cookie'] }],
  ])('credentialsChanged(), %s', (name, options) => {
    let instances: Instances;
    let one: AppUnderTest;
    let two: AppUnderTest;
    const byCookie = name === 'by cookie';

    beforeAll(async () => {
      instances = await startTwoApps(platform, memory(), options);
      [one, two] = instances.apps;
    });

    afterEach(async () => {
      instances.barrier.heal();
      for (const user of ['ann', 'bob']) await two.app.get(SessionService).deleteUserSessions(user);
    });

    afterAll(() => instances.close());

    /** The token that a response sets; undefined: none. */
    const tokenIn = (response: Response): string | undefined =>
      response.headers
        .getSetCookie()
        .map((line) => /^__Host-session=([^;]+)/.exec(line)?.[1])
        .find((value) => value !== undefined) ??
      response.headers.get('x-session-token') ??
      undefined;
    const headersOf = (token: string): Record<string, string> =>
      byCookie ? { ...OWN, cookie: `__Host-session=${token}` } : { 'x-session-token': token };
    const post = (path: string, headers: Record<string, string>) => one.fetch(path, { method: 'POST', headers });
    const statusOf = async (token: string) => (await two.fetch('/roles', { headers: headersOf(token) })).status;

    it('gives the own session a new id, keeps what is in it, and ends all others of the user', async () => {
      const own = await logIn(one.app, { userId: 'ann' });
      const others = await atOnce(3, () => logIn(two.app, { userId: 'ann' }));
      const bob = await logIn(two.app, { userId: 'bob' });
      instances.events.length = 0;
      const response = await post('/password', headersOf(own.token));
      expect(response.status).toBe(200);
      const token = tokenIn(response)!;
      const body = (await response.json()) as { id: string; token: string | null };
      expect(body).toEqual({
        same: true,
        id: expect.any(String),
        token: byCookie ? null : token,
        csrf: byCookie,
        ended: 3,
      });
      expect(response.headers.get('cache-control')).toContain('no-store');
      for (const dead of [own, ...others]) expect(await statusOf(dead.token)).toBe(401);
      for (const alive of [token, bob.token]) expect(await statusOf(alive)).toBe(200);
      expect((await two.app.get(SessionService).getSession(token)).data).toEqual({ changed: true });

      const [regenerated, ...ended] = instances.events.filter(({ type }) => type !== 'rejected');
      const origin = {
        userId: 'ann',
        cause: 'credentials-changed',
        ipAddress: '127.0.0.1',
        transport: byCookie ? 'cookie' : 'header',
      };
      expect(regenerated).toMatchObject({
        ...origin,
        type: 'regenerated',
        sessionId: body.id,
        previousSessionId: expect.any(String),
      });
      expect(ended).toHaveLength(3);
      for (const event of ended) {
        expect(event).toMatchObject({ ...origin, type: 'ended', reason: 'credentials-changed', by: null });
      }
    });

    it('is a usage error without a user, and ends nothing', async () => {
      const sessions = one.app.get(SessionService);
      const anonymous = await sessions.createSession();
      const ann = await logIn(one.app, { userId: 'ann' });
      for (const path of ['/password', '/password-without-guard']) {
        const response = await post(path, headersOf(anonymous.token));
        expect([response.status, tokenIn(response)]).toEqual([500, undefined]);
      }
      expect((await post('/password-without-guard', { ...OWN })).status).toBe(500);
      expect((await post('/password', { ...OWN })).status).toBe(401);
      expect(await statusOf(ann.token)).toBe(200);
      expect((await sessions.getSession(anonymous.token)).isAnonymous).toBe(true);
    });

    it('changes nothing where the first step fails', async () => {
      const own = await logIn(one.app, { userId: 'ann' });
      const other = await logIn(two.app, { userId: 'ann' });
      const { deleteByUser } = instances.barrier.calls;
      instances.barrier.fail('create');
      const response = await post('/password', headersOf(own.token));
      expect([response.status, tokenIn(response)]).toEqual([503, undefined]);
      for (const { token } of [own, other]) expect(await statusOf(token)).toBe(200);
      expect(instances.barrier.calls.deleteByUser).toBe(deleteByUser);
    });

    it('is a 503 where the second step fails, with the new token, by which it can be repeated', async () => {
      const own = await logIn(one.app, { userId: 'ann' });
      const other = await logIn(two.app, { userId: 'ann' });
      instances.barrier.fail('deleteByUser');
      const response = await post('/password', headersOf(own.token));
      const token = tokenIn(response)!;
      expect([response.status, token]).toEqual([503, expect.any(String)]);
      expect(await statusOf(own.token)).toBe(401);
      for (const alive of [token, other.token]) expect(await statusOf(alive)).toBe(200);
      instances.barrier.heal();
      const again = await post('/password', headersOf(token));
      expect([again.status, await statusOf(other.token)]).toEqual([200, 401]);
      expect(await statusOf(tokenIn(again)!)).toBe(200);
    });

    it('of two at once one is a conflict, and one session is left', async () => {
      const own = await logIn(one.app, { userId: 'ann' });
      const responses = await atOnce(2, () => post('/password', headersOf(own.token)));
      const [done, refused] = responses.map(({ status }) => status).sort();
      expect(done).toBe(200);
      // 401: it came when the other one was done.
      expect([401, 409]).toContain(refused);
      expect(await two.app.get(SessionService).listUserSessions('ann')).toHaveLength(1);
    });

    if (byCookie) {
      it('is refused for another site', async () => {
        const own = await logIn(one.app, { userId: 'ann' });
        const other = await logIn(two.app, { userId: 'ann' });
        for (const path of ['/password', '/password-without-guard']) {
          const response = await post(path, { ...headersOf(own.token), 'sec-fetch-site': 'cross-site' });
          expect([response.status, tokenIn(response)]).toEqual([403, undefined]);
        }
        for (const { token } of [own, other]) expect(await statusOf(token)).toBe(200);
      });
    }
  });
});
