import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  SessionService,
  SessionUsageError,
  type LoginOptions,
  type NewSessionUser,
  type Session,
  type SessionModuleOptions,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend, memory } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { HandlerController, Handlers, type Handler } from '../support/handler-controller.js';
import { outcomes, startService, type ServiceUnderTest } from '../support/services.js';

const ANN = { userId: 'ann' };
const OPTIONS: Partial<SessionModuleOptions> = {
  absoluteTimeout: 86_400,
  backendTimeout: 10_000,
  lifetimes: { remembered: { ttl: 86_400 } },
};

function proofOf({ authenticatedAt, authMethods }: Session): object {
  return { at: authenticatedAt?.getTime() ?? null, by: authMethods };
}

describe.each(everyBackend())('the proof of identity of a session, on $name', (store) => {
  let barrier: BarrierBackend;
  let clock: FakeClock;
  let one: AppUnderTest;
  let two: AppUnderTest;
  let sessions: SessionService;

  beforeAll(async () => {
    await store.start();
    clock = new FakeClock();
    barrier = new BarrierBackend(store.another());
    const common = { controllers: [HandlerController], providers: [Handlers], clock };
    one = await startApp({ ...common, platform: 'express', session: { ...OPTIONS, backend: barrier.backend } });
    two = await startApp({ ...common, platform: 'fastify', session: { ...OPTIONS, backend: store.another() } });
    sessions = two.app.get(SessionService);
  });

  beforeEach(() => sessions.deleteUserSessions('ann'));

  afterAll(async () => {
    await one.close();
    await two.close();
    await store.stop();
  });

  async function run(app: AppUnderTest, token: string | null, handler: Handler): Promise<Response> {
    app.app.get(Handlers).current = handler;
    const headers = new Headers(token === null ? {} : { authorization: `Bearer ${token}` });
    return app.fetch('/run', { method: 'POST', headers });
  }

  const again =
    (...methods: string[]): Handler =>
    async (context) => ({ token: (await context.sessions.reauthenticate(context.request, { methods })).token });
  const tokenIn = async (response: Response) => {
    expect(response.status).toBe(200);
    return ((await response.json()) as { token: string }).token;
  };

  it('is seen by all processes, and stays through changes, renewals, new ids and new lifetimes', async () => {
    const start = clock.now();
    const options: LoginOptions = { methods: ['pwd', 'otp'], remember: true };
    let token = await tokenIn(
      await run(one, null, async (context) => ({
        token: (await context.sessions.login(context.request, ANN, options)).token,
      })),
    );
    const proof = { at: start, by: ['pwd', 'otp'] };
    expect(proofOf(await sessions.getSession(token))).toEqual(proof);

    clock.advanceSeconds(50_000);
    token = await tokenIn(
      await run(one, token, async ({ sessions: service, session }) => {
        session!.data.changed = true;
        await service.setLifetime(session!, { ttl: 80_000 });
        return { token: (await service.regenerateSessionId(session!)).token };
      }),
    );
    expect(proofOf(await sessions.getSession(token))).toEqual(proof);
    const { session, token: outside } = await sessions.regenerateSessionId(await sessions.getSession(token), {
      grace: 60,
    });
    await sessions.update(session, ({ data }) => void (data.changed = 'again'));
    const { session: renewed } = await sessions.renewSession(outside!);
    expect(proofOf(renewed)).toEqual(proof);
    expect(proofOf(await sessions.getSession(token))).toEqual(proof);
  });

  it('is replaced by reauthenticate() alone, which keeps all else', async () => {
    const created = { user: { ...ANN, roles: ['admin'] }, data: { cart: ['book'] }, methods: ['pwd'], remember: true };
    const { session: old, token } = await sessions.createSession(created);
    await sessions.oneTime.put(old, 'state', 'kept', { ttl: 3600 });
    clock.advanceSeconds(600);
    const fresh = await sessions.getSession(await tokenIn(await run(one, token, again('otp'))));
    expect(proofOf(fresh)).toEqual({ at: clock.now(), by: ['otp'] });
    const { createdAt, data, user, isRemembered } = fresh;
    expect({ createdAt, data, user, isRemembered }).toEqual({
      createdAt: old.createdAt,
      data: old.data,
      user: old.user,
      isRemembered: true,
    });
    expect(await sessions.oneTime.consume(fresh, 'state')).toBe('kept');
    await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    clock.advanceSeconds(86_400 - 600 - 1);
    expect((await sessions.listUserSessions('ann')).map(({ sessionId }) => sessionId)).toEqual([fresh.sessionId]);
    clock.advanceSeconds(1);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
  });

  it('is that of one of several requests at once, in two processes: one session lives', async () => {
    const { token } = await sessions.createSession({ user: ANN, methods: ['pwd'] });
    for (const app of [one, two]) app.app.get(Handlers).current = again('otp');
    const responses = await Promise.all(
      Array.from({ length: 10 }, (_, index) => run(index % 2 === 0 ? one : two, token, again('otp'))),
    );
    const statuses = responses.map(({ status }) => status).sort();
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    // Those that came later have no session any more, and are told to guard the route.
    for (const status of statuses.slice(1)) expect([409, 500]).toContain(status);
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
  });

  it('is not freshened in a session that ends before', async () => {
    const { token, session } = await sessions.createSession({ user: ANN });
    const stopped = barrier.stopNext('create');
    const response = run(one, token, again('otp'));
    await stopped.arrived;
    await sessions.deleteSession(session);
    stopped.letGo();
    expect((await response).status).toBe(409);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
  });

  it('keeps what another process changes meanwhile', async () => {
    const { token, session } = await sessions.createSession({ user: ANN });
    const stopped = barrier.stopNext('create');
    const response = run(one, token, again('otp'));
    await stopped.arrived;
    await sessions.update(session, ({ data }) => void (data.meanwhile = true));
    stopped.letGo();
    const fresh = await sessions.getSession(await tokenIn(await response));
    expect([fresh.data, fresh.authMethods]).toEqual([{ meanwhile: true }, ['otp']]);
  });

  it('is as it was where the store fails, and in the hands of the handler too', async () => {
    const { token } = await sessions.createSession({ user: ANN, methods: ['pwd'] });
    const before = clock.now();
    clock.advanceSeconds(10);
    let held: Session | null = null;
    barrier.fail('create');
    const response = await run(one, token, async ({ sessions: service, request, session }) => {
      held = session;
      return service.reauthenticate(request, { methods: ['otp'] });
    });
    barrier.heal();
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, expect.any(String)]);
    for (const session of [held!, await sessions.getSession(token)]) {
      expect(proofOf(session)).toEqual({ at: before, by: ['pwd'] });
    }
  });

  it('costs one read and one write', async () => {
    const { token } = await sessions.createSession({ user: ANN });
    const before = { ...barrier.calls };
    expect((await run(one, token, again('otp'))).status).toBe(200);
    const made = Object.entries(barrier.calls).map(([name, count]) => [name, count - (before[name] ?? 0)]);
    expect(made.filter(([, count]) => count !== 0).sort()).toEqual([
      ['create', 1],
      ['read', 1],
    ]);
  });
});

describe('the methods of a proof', () => {
  let service: ServiceUnderTest;

  beforeAll(async () => {
    const store = memory();
    await store.start();
    service = await startService(store.another());
  });

  afterAll(() => service.close());

  const methodsOf = async (methods: unknown, user: NewSessionUser | null = ANN) => {
    const { session } = await service.sessions.createSession({ user, methods } as never);
    return session.authMethods;
  };

  it('are any texts, each once, in their order', async () => {
    const longest = Array.from({ length: 16 }, (_, index) => String(index).padEnd(128, 'x'));
    for (const methods of [['pwd'], ['otp', 'hwk'], ['urn:example:bronze', 'ü'], longest, []]) {
      expect(await methodsOf(methods)).toEqual(methods);
    }
    expect(await methodsOf(['otp', 'pwd', 'otp'])).toEqual(['otp', 'pwd']);
    expect(await methodsOf(undefined)).toEqual([]);
  });

  it.each([
    ['a text', 'pwd'],
    ['null', null],
    ['an object', { 0: 'pwd' }],
    ['a set', new Set(['pwd'])],
    ['an empty text', ['pwd', '']],
    ['a number', [1]],
    ['half of a pair of surrogates', ['\ud800']],
    ['a text of 129 characters', ['x'.repeat(129)]],
    ['17 texts', Array.from({ length: 17 }, String)],
    ['a list in a list', [['pwd']]],
  ])('are never %s', async (_, methods) => {
    await expect(methodsOf(methods)).rejects.toBeInstanceOf(SessionUsageError);
    expect(await service.sessions.listUserSessions('nobody')).toEqual([]);
  });

  it('need a user', async () => {
    const { values, errors } = await outcomes([methodsOf(['pwd'], null), methodsOf(undefined, null)]);
    expect([values, errors]).toEqual([[[]], [expect.any(SessionUsageError)]]);
  });

  it('cannot be changed by their holder', async () => {
    const methods = ['pwd'];
    const { session, token } = await service.sessions.createSession({ user: ANN, methods });
    methods.push('otp');
    for (const held of [session, await service.sessions.getSession(token)]) {
      (held.authMethods as string[]).push('otp');
      held.authenticatedAt?.setFullYear(2100);
      expect(proofOf(held)).toEqual({ at: service.clock.now(), by: ['pwd'] });
    }
  });

  it('are in no JSON of the session', async () => {
    const { session } = await service.sessions.createSession({ user: ANN, methods: ['pwd'] });
    expect(JSON.stringify(session)).not.toContain('pwd');
  });
});
