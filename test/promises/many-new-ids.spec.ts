import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryBackend, SessionConflictError, type Session } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import { startService, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

const GRACE = { grace: 10 };
const AFTER_GRACE_SECONDS = 10;
/** Ids beyond which an alias alone leads nowhere. */
const MOST_HOPS = 32;

interface LongChain {
  readonly oldToken: string;
  readonly oldId: string;
  /** Of another process, which knows the session by its first id. */
  readonly held: Session;
  readonly token: string;
  readonly id: string;
}

describe.each(everyBackend())('a session that has got many new ids, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let users = 0;
  let userId: string;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ barrier, one, two } = instances);
  });

  beforeEach(() => {
    userId = `user ${++users}`;
  });

  afterEach(() => {
    barrier.heal();
  });

  afterAll(() => instances.stop());

  /** `count` new ids, each with a grace, which is over. */
  async function longChain(count: number, user: { userId: string } | null = { userId }): Promise<LongChain> {
    const { token: oldToken, session: first } = await one.sessions.createSession({ user });
    const held = await one.sessions.getSession(oldToken);
    const { token, session } = await renew(oldToken, first, count);
    one.clock.advanceSeconds(AFTER_GRACE_SECONDS);
    return { oldToken, oldId: held.sessionId, held, token, id: session.sessionId };
  }

  async function renew(token: string, session: Session, count: number): Promise<{ token: string; session: Session }> {
    let latest = { token, session };
    for (let ids = 0; ids < count; ids++) {
      const { token: newer, session: same } = await two.sessions.regenerateSessionId(latest.session, GRACE);
      latest = { token: newer!, session: same };
    }
    return latest;
  }

  /** What `call` returns, and how many calls of the store it makes. */
  async function counted<T>(call: () => Promise<T>): Promise<[T, number]> {
    const before = barrier.total;
    return [await call(), barrier.total - before];
  }

  const lives = (token: string) =>
    two.sessions.getSession(token).then(
      () => true,
      () => false,
    );

  it('of a user, ends by its first id with few calls, however many it has got since', async () => {
    const { oldId, token, id } = await longChain(100);
    expect(await counted(() => one.sessions.deleteSession(oldId))).toEqual([true, 6]);
    expect(await lives(token)).toBe(false);
    expect(one.events.at(-1)).toMatchObject({ type: 'ended', sessionId: id, userId });
    expect(await counted(() => one.sessions.deleteSession(oldId))).toEqual([false, 6]);
  });

  it.each([
    [1, 3],
    [2, 4],
    [3, 5],
  ])('ends by its first id after %d with %d calls', async (ids, calls) => {
    for (const user of [{ userId }, null]) {
      const { oldId, token } = await longChain(ids, user);
      expect(await counted(() => one.sessions.deleteSession(oldId))).toEqual([true, calls]);
      expect(await lives(token)).toBe(false);
    }
  });

  it.each([
    ['deleteSession', 7],
    ['invalidateSession', 7],
  ] as const)('of a user, ends with %s of an object under its first id, with %d calls', async (end, calls) => {
    const { held, token, id } = await longChain(MOST_HOPS + 1);
    expect(await counted(() => one.sessions[end](held))).toEqual([true, calls]);
    expect(await lives(token)).toBe(false);
    expect(one.events.at(-1)).toMatchObject({ type: 'ended', sessionId: id, userId });
  });

  it('of a user, is recognised by its first id after the grace, with few calls', async () => {
    const { oldToken, oldId, token, id } = await longChain(MOST_HOPS + 1);
    const [code, calls] = await counted(() => one.sessions.getSession(oldToken).catch((error: unknown) => error));
    expect([code, calls]).toEqual([expect.objectContaining({ code: 'SESSION_ID_REPLACED' }), 5]);
    expect(one.events.at(-2)).toMatchObject({ type: 'reused', sessionId: id, previousSessionId: oldId });
    expect(await one.sessions.deleteUserSessions(userId, { except: oldId })).toBe(0);
    expect(await lives(token)).toBe(true);
  });

  it('is unknown by its first id while the graces last, if there are too many of them', async () => {
    const { token: oldToken, session } = await one.sessions.createSession({ user: { userId } });
    const { token } = await renew(oldToken, session, MOST_HOPS + 1);
    await expect(two.sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await one.sessions.deleteSession(session.sessionId)).toBe(true);
    expect(await lives(token)).toBe(false);
  });

  it('of a guest, ends by an id of not too many ids before, and by no other, with a bound for the calls', async () => {
    const { oldId, held, token, id } = await longChain(MOST_HOPS, null);
    const { token: latest } = await renew(token, await two.sessions.getSession(token), 1);
    expect(await counted(() => one.sessions.deleteSession(oldId))).toEqual([false, MOST_HOPS + 2]);
    expect(await counted(() => one.sessions.deleteSession(held))).toEqual([false, MOST_HOPS + 2]);
    expect(await lives(latest)).toBe(true);
    const other = await longChain(MOST_HOPS, null);
    expect(await counted(() => one.sessions.deleteSession(other.oldId))).toEqual([true, MOST_HOPS + 2]);
    expect(await lives(other.token)).toBe(false);
    expect(id).not.toBe(other.id);
  });

  it('leaves the others of its user, and what is left of it is not ended again', async () => {
    const { token: other } = await one.sessions.createSession({ user: { userId } });
    const { oldId, token } = await longChain(5);
    expect(await one.sessions.deleteSession(oldId)).toBe(true);
    expect(await one.sessions.deleteSession(oldId)).toBe(false);
    expect([await lives(token), await lives(other)]).toEqual([false, true]);
  });

  it('does not end by an id of before a new id without a grace', async () => {
    const { oldToken, oldId, held, token } = await longChain(5);
    const { session: fresh } = await two.sessions.regenerateSessionId(await two.sessions.getSession(token));
    const { token: latest } = await renew('', fresh, 5);
    one.clock.advanceSeconds(AFTER_GRACE_SECONDS);
    expect(await one.sessions.deleteSession(oldId)).toBe(false);
    expect(await one.sessions.invalidateSession(held)).toBe(false);
    await expect(one.sessions.getSession(oldToken)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await lives(latest)).toBe(true);
    expect(await one.sessions.deleteSession(fresh.sessionId)).toBe(true);
    expect(await lives(latest)).toBe(false);
  });

  it.each(['delete', 'listByUser'] as const)(
    'of a user, ends by its first id when it gets a further one before the %s',
    async (method) => {
      const { oldId, token } = await longChain(5);
      const stopped = barrier.stopNext(method);
      const ending = one.sessions.deleteSession(oldId);
      await stopped.arrived;
      const { token: latest } = await renew(token, await two.sessions.getSession(token), 1);
      stopped.letGo();
      expect(await ending).toBe(true);
      expect([await lives(token), await lives(latest)]).toEqual([false, false]);
    },
  );
});

it('the end of a session that gets a new id each time is given up in the end', async () => {
  let deletions = 0;
  class Restless extends MemoryBackend {
    override delete(): Promise<'alias'> {
      deletions++;
      return Promise.resolve('alias');
    }
  }
  const service = await startService(new Restless());
  const { session } = await service.sessions.createSession({ user: { userId: 'ann' } });
  await expect(service.sessions.deleteSession(session.sessionId)).rejects.toThrow(SessionConflictError);
  expect(deletions).toBe(32);
  await service.close();
});
