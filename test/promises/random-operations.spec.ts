import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SessionError, type SessionService } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { messagesOf, SessionModel, type ModelSession } from '../support/session-model.js';

const TTL_S = 100;
const USERS = ['ann', 'bob'];
const KEYS = ['a', 'b', 'constructor'];
/** The same sequences in each run; a failure prints the seed and the shortest sequence that fails. */
const SEED = 20_261_125;

/** One step: what is done, by which of the two instances, to which session (by its place in the order of creation). */
interface Step {
  readonly kind:
    | 'create'
    | 'set'
    | 'remove'
    | 'count'
    | 'add-flash'
    | 'take-flash'
    | 'renew'
    | 'regenerate'
    | 'invalidate'
    | 'delete'
    | 'end-all'
    | 'end-others'
    | 'wait';
  readonly instance: 0 | 1;
  readonly session: number;
  readonly user: number;
  readonly key: number;
  readonly value: number;
}

/** More of what changes sessions than of what ends them, or there would soon be none. */
const kinds = fc.constantFrom<Step['kind']>(
  ...(['create', 'create', 'create', 'create', 'set', 'set', 'remove', 'count', 'add-flash', 'add-flash'] as const),
  ...(['take-flash', 'renew', 'regenerate', 'invalidate', 'delete', 'end-all', 'end-others', 'wait'] as const),
);

const step: fc.Arbitrary<Step> = fc.record({
  kind: kinds,
  instance: fc.constantFrom<0 | 1>(0, 1),
  session: fc.nat({ max: 30 }),
  user: fc.nat({ max: USERS.length }),
  key: fc.nat({ max: KEYS.length - 1 }),
  value: fc.nat({ max: 9 }),
});

describe.each(everyBackend())('random operations of two instances, on $name', (store) => {
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let run = 0;

  beforeAll(async () => {
    await store.start();
    one = await startService(store.another(), { sessionTtl: TTL_S });
    two = await startService(store.another(), { sessionTtl: TTL_S }, one.clock);
  });

  afterAll(async () => {
    await one.close();
    await two.close();
    await store.stop();
  });

  const now = () => one.clock.now();
  const serviceOf = ({ instance }: Step): SessionService => (instance === 0 ? one : two).sessions;

  /** Users of this run alone. */
  function newUsers(): (index: number) => string | null {
    const prefix = `${store.name} ${run++}`;
    return (index) => (index === USERS.length ? null : `${prefix} ${USERS[index]}`);
  }

  it('one after the other: each session is at each moment what a simple model says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const userOf = newUsers();
        const model = new SessionModel(now, TTL_S * 1000);
        for (const each of steps) await follow(each, model, userOf);
        for (const session of model.sessions) await expectAsModelled(session, model);
      }),
      { seed: SEED, numRuns: 40 },
    );
  });

  async function follow(each: Step, model: SessionModel, userOf: (index: number) => string | null): Promise<void> {
    const sessions = serviceOf(each);
    const userId = userOf(each.user);
    if (each.kind === 'create') {
      const { session, token } = await sessions.createSession({ user: userId === null ? null : { userId } });
      model.add(userId, { id: session.sessionId, token });
      return;
    }
    if (each.kind === 'wait') {
      one.clock.advanceSeconds(each.value * 10);
      return;
    }
    if (each.kind === 'end-all') {
      if (userId === null) return;
      expect(await sessions.deleteUserSessions(userId)).toBe(model.ofUser(userId).length);
      for (const session of model.ofUser(userId)) session.ended = true;
      return;
    }
    const target = model.sessions[each.session % Math.max(1, model.sessions.length)];
    if (target === undefined) return;
    if (model.isAlive(target)) await change(each, target, model);
    else await expectEnded(each, target);
    await expectAsModelled(target, model);
  }

  async function change(each: Step, target: ModelSession, model: SessionModel): Promise<void> {
    const sessions = serviceOf(each);
    const key = KEYS[each.key]!;
    const loaded = await sessions.getSession(target.token);
    switch (each.kind) {
      case 'set':
        loaded.data[key] = { value: each.value };
        await sessions.updateSession(loaded);
        target.data[key] = { value: each.value };
        break;
      case 'remove':
        Reflect.deleteProperty(loaded.data, key);
        await sessions.updateSession(loaded);
        Reflect.deleteProperty(target.data, key);
        break;
      case 'count':
        await sessions.update(target.id, ({ data }) => void (data.count = Number(data.count ?? 0) + 1));
        target.data.count = Number(target.data.count ?? 0) + 1;
        break;
      case 'add-flash':
        loaded.addFlashMessage(`message ${each.value}`);
        await sessions.updateSession(loaded);
        target.flash.push(`message ${each.value}`);
        break;
      case 'take-flash':
        expect(messagesOf(await sessions.takeFlash(loaded))).toEqual(target.flash);
        target.flash = [];
        break;
      case 'renew':
        await sessions.renewSession(target.token);
        model.renew(target);
        break;
      case 'regenerate': {
        const { session, token } = await sessions.regenerateSessionId(loaded);
        if (token === null) throw new Error('outside of a request there is no cookie for the token');
        model.regenerate(target, { id: session.sessionId, token });
        break;
      }
      case 'invalidate':
        expect(await sessions.invalidateSession(loaded)).toBe(true);
        target.ended = true;
        break;
      case 'delete':
        expect(await sessions.deleteSession(target.id)).toBe(true);
        target.ended = true;
        break;
      case 'end-others': {
        if (target.userId === null) break;
        const others = model.ofUser(target.userId).filter((session) => session !== target);
        expect(await sessions.deleteUserSessions(target.userId, { except: target.id })).toBe(others.length);
        for (const session of others) session.ended = true;
        break;
      }
      default:
        throw new Error(`${each.kind} changes no single session`);
    }
  }

  async function expectEnded(each: Step, target: ModelSession): Promise<void> {
    const sessions = serviceOf(each);
    await expect(sessions.getSession(target.token)).rejects.toMatchObject({ status: 401 });
    await expect(sessions.renewSession(target.token)).rejects.toMatchObject({ status: 401 });
    await expect(sessions.update(target.id, ({ data }) => void (data.late = 1))).rejects.toMatchObject({ status: 401 });
  }

  /** As both instances see it. */
  async function expectAsModelled(target: ModelSession, model: SessionModel): Promise<void> {
    for (const { sessions } of [one, two]) {
      if (target.userId !== null) {
        const listed = (await sessions.listUserSessions(target.userId)).map(({ sessionId }) => sessionId);
        expect(listed.sort()).toEqual(
          model
            .ofUser(target.userId)
            .map(({ id }) => id)
            .sort(),
        );
      }
      if (!model.isAlive(target)) {
        await expect(sessions.getSession(target.token)).rejects.toMatchObject({ status: 401 });
        continue;
      }
      const session = await sessions.getSession(target.token);
      expect(session.data).toEqual(target.data);
      expect(messagesOf(session.getFlashMessages({ clear: false }))).toEqual(target.flash);
      expect(session.user?.userId ?? null).toBe(target.userId);
      expect(session.expiresAt.getTime()).toBe(target.expiresAt);
    }
  }

  it('all at once: nothing is lost, doubled or brought back, and what is listed is what lives', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 2, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
        async (batches) => {
          const userOf = newUsers();
          const history = new History();
          for (const index of [0, 0, 1, 2]) await history.create(one.sessions, userOf(index));
          for (const batch of batches) {
            const known = [...history.sessions];
            await Promise.all(batch.map((each) => history.attempt(each, known, serviceOf(each), userOf)));
            await history.check([one.sessions, two.sessions]);
          }
        },
      ),
      { seed: SEED, numRuns: 40 },
    );
  });
});

/** A session under operations that run at once: what has certainly happened to it, and what may have. */
interface TracedSession {
  readonly id: string;
  readonly token: string;
  readonly userId: string | null;
  /** The id that it had before, from which counts and messages have come along. */
  readonly line: { counted: number; added: string[]; taken: string[] };
  /** An operation that ends it has succeeded. */
  ended: boolean;
}

class History {
  readonly sessions: TracedSession[] = [];
  #messages = 0;

  async create(sessions: SessionService, userId: string | null): Promise<void> {
    const { session, token } = await sessions.createSession({ user: userId === null ? null : { userId } });
    const line = { counted: 0, added: [], taken: [] };
    this.sessions.push({ id: session.sessionId, token, userId, line, ended: false });
  }

  /** Does what `each` says to one of `known`; that the session has ended meanwhile, or another writer was faster, is no fault. */
  async attempt(
    each: Step,
    known: readonly TracedSession[],
    sessions: SessionService,
    userOf: (index: number) => string | null,
  ): Promise<void> {
    try {
      await this.#do(each, known[each.session % known.length]!, sessions, userOf);
    } catch (error) {
      if (!(error instanceof SessionError) || ![401, 409].includes(error.getStatus())) throw error;
    }
  }

  async #do(
    each: Step,
    target: TracedSession,
    sessions: SessionService,
    userOf: (index: number) => string | null,
  ): Promise<void> {
    const { line } = target;
    switch (each.kind) {
      case 'create':
        return this.create(sessions, userOf(each.user));
      case 'set':
      case 'remove':
      case 'wait':
      case 'count':
        await sessions.update(target.id, ({ data }) => void (data.count = Number(data.count ?? 0) + 1));
        line.counted++;
        return;
      case 'add-flash': {
        const message = String(this.#messages++);
        await sessions.update(target.id, (session) => session.addFlashMessage(message));
        line.added.push(message);
        return;
      }
      case 'take-flash':
        line.taken.push(...messagesOf(await sessions.takeFlash(await sessions.getSession(target.token))));
        return;
      case 'renew':
        await sessions.renewSession(target.token);
        return;
      case 'regenerate': {
        const { session, token } = await sessions.regenerateSessionId(await sessions.getSession(target.token));
        target.ended = true;
        this.sessions.push({ ...target, id: session.sessionId, token: token ?? '', ended: false });
        return;
      }
      case 'invalidate':
        if (await sessions.invalidateSession(await sessions.getSession(target.token))) target.ended = true;
        return;
      case 'delete':
        await sessions.deleteSession(target.id);
        target.ended = true;
        return;
      case 'end-all':
      case 'end-others': {
        if (target.userId === null) return;
        const before = this.sessions.filter(({ userId }) => userId === target.userId);
        const kept = each.kind === 'end-others' ? target : null;
        await sessions.deleteUserSessions(target.userId, kept === null ? {} : { except: kept.id });
        // What was made meanwhile is either ended too or listed.
        for (const session of before) if (session !== kept) session.ended = true;
        return;
      }
    }
  }

  async check(instances: readonly SessionService[]): Promise<void> {
    const living = new Set<string>();
    for (const session of this.sessions) {
      const seen = await Promise.all(
        instances.map((sessions) => sessions.getSession(session.token).catch((error: unknown) => error)),
      );
      const [first, second] = seen.map((found) => (found instanceof SessionError ? found.getStatus() : 200));
      expect([first, second]).toEqual([first, first]);
      expect([200, 401]).toContain(first);
      if (session.ended) expect(first).toBe(401);
      if (first === 401) continue;
      living.add(session.id);
      const { data, flash } = await this.#contentOf(session, instances[0]!);
      expect(data.count ?? 0).toBe(session.line.counted);
      const { added, taken } = session.line;
      expect([...taken, ...flash].sort()).toEqual([...added].sort());
    }
    for (const userId of new Set(this.sessions.map((session) => session.userId))) {
      if (userId === null) continue;
      const expected = this.sessions.filter(({ id, userId: owner }) => owner === userId && living.has(id));
      for (const sessions of instances) {
        const listed = (await sessions.listUserSessions(userId)).map(({ sessionId }) => sessionId);
        expect(listed.sort()).toEqual(expected.map(({ id }) => id).sort());
      }
    }
  }

  async #contentOf({ token }: TracedSession, sessions: SessionService) {
    const session = await sessions.getSession(token);
    return { data: session.data, flash: messagesOf(session.getFlashMessages({ clear: false })) };
  }
}
