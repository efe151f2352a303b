import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  MemoryBackend,
  NewerRecordError,
  type EndedListener,
  type EndedSubscription,
  type SessionId,
} from 'nestjs-sessionx';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { SessionWatches } from '../../src/sessions/session-watches.js';
import { resealed } from '../support/checksums.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { soon } from '../support/soon.js';

const NEVER_S = 3600;
/** Calls that a test holds may take as long as a busy machine makes them. */
const PATIENT = { liveCheckInterval: NEVER_S, backendTimeout: 20_000 };
/** More than one look is for. */
const MANY = 260;

/** Whose calls can be held, and fail, and whose subscriptions may never be confirmed. */
class SlowBackend extends MemoryBackend {
  looks = 0;
  /** What the last look was for. */
  looked: readonly SessionId[] = [];
  heldLook: Promise<void> | undefined;
  heldSearch: Promise<void> | undefined;
  heldCreation: Promise<void> | undefined;
  isDown = false;
  failed: () => unknown = () => undefined;
  confirms = true;
  searches = 0;
  /** Of the user whose sessions cannot be listed, and why. */
  unlisted: { readonly tag: string; readonly error: Error } | undefined;

  override async readMany(ids: Parameters<MemoryBackend['readMany']>[0]): ReturnType<MemoryBackend['readMany']> {
    this.looks++;
    this.looked = ids;
    await this.heldLook;
    if (this.isDown) {
      this.failed();
      throw new Error('the store is out of order');
    }
    return super.readMany(ids);
  }

  override onEnded(listener: EndedListener): Promise<EndedSubscription> {
    return this.confirms ? super.onEnded(listener) : new Promise(() => undefined);
  }

  override async listByUser(tag: Parameters<MemoryBackend['listByUser']>[0]): ReturnType<MemoryBackend['listByUser']> {
    this.searches++;
    await this.heldSearch;
    if (tag === this.unlisted?.tag) throw this.unlisted.error;
    return super.listByUser(tag);
  }

  override async create(...args: Parameters<MemoryBackend['create']>): ReturnType<MemoryBackend['create']> {
    const result = await super.create(...args);
    await this.heldCreation;
    return result;
  }
}

/** Reads one session by one, as Memcached does, and not that of `unreadable`. */
class PartlyDownBackend extends MemoryBackend {
  override readMany = undefined as never;
  unreadable = '';

  override read(id: SessionId): ReturnType<MemoryBackend['read']> {
    return id === this.unreadable ? Promise.reject(new Error('its server is down')) : super.read(id);
  }
}

describe('a look at sessions that are watched', () => {
  let backend: SlowBackend;
  let service: ServiceUnderTest;

  beforeEach(async () => {
    backend = new SlowBackend();
    service = await startService(backend, { ...PATIENT, maxSessionsPerUser: null });
  });

  afterEach(() => service.close());

  function hold(): { readonly until: Promise<void>; readonly letGo: () => void } {
    let letGo!: () => void;
    const until = new Promise<void>((resolve) => (letGo = resolve));
    return { until, letGo };
  }

  async function looked(times: number): Promise<void> {
    await soon(() => backend.looks >= times || undefined);
  }

  /** What was let go has come to its end, or to its next wait. */
  async function settled(): Promise<void> {
    for (let turns = 0; turns < 10; turns++) await eventLoopTurn();
  }

  /** The first look of the next round of more sessions than two looks are for, after the looks at each of them. */
  async function heldRound(rounds: SlowBackend) {
    await soon(() => rounds.looks >= 3 || undefined);
    await settled();
    const first = hold();
    rounds.looks = 0;
    rounds.heldLook = first.until;
    await soon(() => rounds.looks > 0 || undefined);
    return first;
  }

  async function watchedSignals(count: number): Promise<AbortSignal[]> {
    const made = Array.from({ length: count }, () => service.sessions.createSession({ user: { userId: 'ann' } }));
    return (await Promise.all(made)).map(({ session }) => service.sessions.whileAlive(session));
  }

  it('is not tried for the others when it fails for some, and all stay', async () => {
    backend.isDown = true;
    const signals = await watchedSignals(MANY);
    await looked(1);
    await settled();
    expect([backend.looks, signals.some(({ aborted }) => aborted)]).toEqual([1, false]);
  });

  it('ends what has ended where another session cannot be read, as with one of several servers down', async () => {
    const store = new PartlyDownBackend();
    const partly = await startService(store, { liveCheckInterval: NEVER_S });
    const [ann, bob] = [await partly.sessions.createSession(), await partly.sessions.createSession()];
    store.unreadable = ann.session.sessionId;
    await store.delete(bob.session.sessionId);
    const signals = [ann, bob].map(({ session }) => partly.sessions.whileAlive(session));
    await soon(() => signals[1]!.aborted || undefined);
    expect(signals[0]!.aborted).toBe(false);
    await partly.close();
  });

  it('is made for the next ones where one for few has failed, as for those on one of several servers', async () => {
    const [ann, bob] = [await service.sessions.createSession(), await service.sessions.createSession()];
    const look = hold();
    backend.heldLook = look.until;
    const annSignal = service.sessions.whileAlive(ann.session);
    await looked(1);
    backend.isDown = true;
    await backend.delete(bob.session.sessionId);
    const bobSignal = service.sessions.whileAlive(bob.session);
    backend.failed = () => (backend.isDown = false);
    look.letGo();
    await soon(() => bobSignal.aborted || undefined);
    expect([backend.looks, annSignal.aborted]).toEqual([2, false]);
  });

  it('ends all that have expired when it fails, also those for which it was not tried', async () => {
    backend.isDown = true;
    const signals = await watchedSignals(MANY);
    service.clock.advanceSeconds(NEVER_S + 1);
    await looked(1);
    await settled();
    expect([backend.looks, signals.every(({ aborted }) => aborted)]).toEqual([1, true]);
  });

  it('that fails when the session has ended in this process meanwhile does not tell that again', async () => {
    const { session } = await service.sessions.createSession();
    const look = hold();
    backend.heldLook = look.until;
    let ends = 0;
    service.context.get(SessionWatches).watch(session, () => ends++);
    await looked(1);
    await service.sessions.deleteSession(session);
    service.clock.advanceSeconds(NEVER_S + 1);
    backend.isDown = true;
    look.letGo();
    await settled();
    expect(ends).toBe(1);
  });

  it('that is under way when a session without a user gets a new id in this process does not end it', async () => {
    const { session } = await service.sessions.createSession();
    const look = hold();
    backend.heldLook = look.until;
    const signal = service.sessions.whileAlive(session);
    await looked(1);
    const { session: next } = await service.sessions.regenerateSessionId(session);
    look.letGo();
    await settled();
    expect(signal.aborted).toBe(false);
    await service.sessions.deleteSession(next);
    expect(signal.aborted).toBe(true);
  });

  it('that finds the old id of such a session gone, before the new one is known, does not end it', async () => {
    const { session } = await service.sessions.createSession();
    const signal = service.sessions.whileAlive(session);
    await looked(1);
    // A first look that the new id overtakes would make the search that is held.
    await settled();
    const [search, creation] = [hold(), hold()];
    backend.heldSearch = search.until;
    backend.heldCreation = creation.until;
    const regeneration = service.sessions.regenerateSessionId(session);
    await looked(2);
    await settled();
    creation.letGo();
    await regeneration;
    search.letGo();
    await settled();
    expect(signal.aborted).toBe(false);
  });

  describe('that finds sessions gone', () => {
    let other: ServiceUnderTest;

    beforeEach(async () => {
      other = await startService(backend, { ...PATIENT, maxSessionsPerUser: null }, service.clock);
    });

    afterEach(() => other.close());

    async function watched(userId: string) {
      const { session, token } = await service.sessions.createSession({ user: { userId } });
      const signal = service.sessions.whileAlive(session);
      const renew = async (grace = 0) =>
        other.sessions.regenerateSessionId(await other.sessions.getSession(token), { grace });
      return { session, signal, renew };
    }

    /** Makes one look at all that `happen` does to them. */
    async function lookAfter(happen: () => Promise<unknown>): Promise<void> {
      await settled();
      const look = hold();
      backend.heldLook = look.until;
      await happen();
      backend.searches = 0;
      look.letGo();
      await settled();
    }

    it('knows which of hundreds goes on under a new id, and looks for those of a user once in a look', async () => {
      const signals = await watchedSignals(MANY);
      const bob = await watched('bob');
      await lookAfter(async () => {
        await other.sessions.deleteUserSessions('ann');
        await bob.renew();
      });
      expect(signals.every(({ aborted }) => aborted)).toBe(true);
      expect([bob.signal.aborted, backend.searches]).toEqual([false, 3]);
    });

    it.each(['deleteSession', 'invalidateSession'] as const)(
      'does not keep %s() waiting, where another process has given the session a new id with a grace',
      async (end) => {
        const { session, signal, renew } = await watched('ann');
        await settled();
        const look = hold();
        backend.heldLook = look.until;
        await renew(60);
        await service.sessions[end](session);
        expect(signal.aborted).toBe(true);
        look.letGo();
      },
    );

    it('ends them before the next look, which may take long', async () => {
      const signals = await watchedSignals(MANY);
      await settled();
      const [first, second] = [hold(), hold()];
      backend.looks = 0;
      backend.heldLook = first.until;
      await other.sessions.deleteUserSessions('ann');
      await looked(1);
      backend.heldLook = second.until;
      first.letGo();
      await looked(2);
      const ended = () => signals.filter(({ aborted }) => aborted).length;
      expect(ended()).toBe(MANY - backend.looked.length);
      second.letGo();
      await settled();
      expect(ended()).toBe(MANY);
    });

    it.each([
      ['are listed in a form that only a later version can read', new NewerRecordError()],
      ['cannot be listed, as with one of several servers down', new Error('its server is down')],
    ])('ends one although those of another user %s', async (_, error) => {
      const [ann, bob] = [await watched('ann'), await watched('bob')];
      backend.unlisted = { tag: ann.session.sessionId.slice(0, 16), error };
      await lookAfter(async () => {
        await other.sessions.deleteSession(ann.session.sessionId);
        await other.sessions.deleteSession(bob.session.sessionId);
      });
      expect([ann.signal.aborted, bob.signal.aborted]).toEqual([false, true]);
    });

    it('finds by its user the one to which a damaged alias leads no more, and ends the one that is nowhere', async () => {
      const [ann, bob] = [await watched('ann'), await watched('bob')];
      await lookAfter(async () => {
        for (const { session, renew } of [ann, bob]) {
          await renew(60);
          const alias = (await backend.read(session.sessionId))!;
          const payload = resealed(alias.payload.replace(/\{"successor":.*?\}/, '[]'));
          await backend.replace({ ...alias, version: alias.version + 1, payload }, alias.version);
        }
        await other.sessions.deleteUserSessions('ann');
      });
      expect([ann.signal.aborted, bob.signal.aborted]).toEqual([true, false]);
    });
  });

  it('comes first for a session of which a notice tells, while a round takes long', async () => {
    const rounds = new SlowBackend();
    const [one, other] = [await startService(rounds, { liveCheckInterval: 1 }), await startService(rounds)];
    const made = await Promise.all(Array.from({ length: 2 * MANY }, () => one.sessions.createSession()));
    const signals = made.map(({ session }) => one.sessions.whileAlive(session));
    const [first, second] = [await heldRound(rounds), hold()];
    // All have been put into the round in one turn, the last one at its end.
    await other.sessions.deleteSession(made.at(-1)!.session.sessionId);
    rounds.heldLook = second.until;
    first.letGo();
    await soon(() => rounds.looks > 1 || undefined);
    expect(rounds.looked).toContain(made.at(-1)!.session.sessionId);
    second.letGo();
    await soon(() => signals.at(-1)!.aborted || undefined);
    await one.close();
    await other.close();
  });

  it('is half for the round where more new ones come than it is for', async () => {
    const rounds = new SlowBackend();
    const one = await startService(rounds, { liveCheckInterval: 1 });
    const made = await Promise.all(Array.from({ length: 3 * MANY }, () => one.sessions.createSession()));
    const [known, added] = [made.slice(0, 2 * MANY), made.slice(2 * MANY)];
    for (const { session } of known) one.sessions.whileAlive(session);
    const [first, second] = [await heldRound(rounds), hold()];
    for (const { session } of added) one.sessions.whileAlive(session);
    rounds.heldLook = second.until;
    first.letGo();
    await soon(() => rounds.looks > 1 || undefined);
    const ofRound = known.filter(({ session }) => rounds.looked.includes(session.sessionId));
    expect([rounds.looked.length, ofRound.length]).toEqual([250, 125]);
    second.letGo();
    await one.close();
  });

  it('is made also where the store never confirms that it notifies of ends', async () => {
    const silent = new SlowBackend();
    silent.confirms = false;
    const other = await startService(silent, { liveCheckInterval: NEVER_S, backendTimeout: 20 });
    const { session } = await other.sessions.createSession();
    other.sessions.untilEnded(session).subscribe();
    await soon(() => silent.looks > 0 || undefined);
    await other.close();
  });
});
