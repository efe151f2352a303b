import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { SessionDataError, type Session, type SessionId, type SessionUser } from 'nestjs-sessionx';

import { rawStores } from '../support/raw-stores.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

/** So short that a test waits for the second look of a change of users. */
const OPTIONS = { backendTimeout: 400 };
const DEFAULT_BYTES = 65_536;
const TOO_LARGE = { name: 'SessionDataError', code: 'SESSION_TOO_LARGE', status: 413 };

/** Objects of which each refers to the one before twice: 2^levels of them, as JSON. */
function shared(levels: number): unknown {
  let value: unknown = 'x';
  for (let level = 0; level < levels; level++) value = { left: value, right: value };
  return value;
}

describe.each(rawStores())('a session has a largest size, on $name', (store) => {
  let service: ServiceUnderTest;
  /** On the same store, with room for more. */
  let roomy: ServiceUnderTest;
  let error: jest.SpiedFunction<Logger['error']>;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another(), OPTIONS);
    roomy = await startService(store.another(), { ...OPTIONS, maxSessionBytes: 900_000 }, service.clock);
  });

  beforeEach(() => {
    error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
  });

  afterEach(() => {
    // A client that sends too much is no outage of the store.
    expect(error).not.toHaveBeenCalled();
    error.mockRestore();
  });

  afterAll(async () => {
    await service.close();
    await roomy.close();
    await store.stop();
  });

  const bytesOf = async (id: SessionId) => Buffer.byteLength(await store.read(id));

  async function oversized(data: object = { large: 'x'.repeat(100_000), other: 'y'.repeat(20_000) }) {
    const { session, token } = await roomy.sessions.createSession({ user: { userId: 'ann' }, data });
    return { id: session.sessionId, token };
  }

  it.each(['x', 'ä', '€', '😀', '"', '\n', '\ud800'])('to the byte, filled with %j', async (character) => {
    const { session } = await service.sessions.createSession({ data: { fill: '' } });
    const perCharacter = Buffer.byteLength(JSON.stringify(character)) - 2;
    const room = DEFAULT_BYTES - (await bytesOf(session.sessionId));
    const fill = character.repeat(room / perCharacter) + 'x'.repeat(room % perCharacter);

    const full = await service.sessions.createSession({ data: { fill } });
    expect(await bytesOf(full.session.sessionId)).toBe(DEFAULT_BYTES);
    await expect(service.sessions.createSession({ data: { fill: `${fill}x` } })).rejects.toMatchObject(TOO_LARGE);

    session.data.fill = `${fill}x`;
    await expect(service.sessions.updateSession(session)).rejects.toMatchObject({ ...TOO_LARGE, path: 'data' });
    expect((await service.sessions.getSession(full.token)).data).toEqual({ fill });
    session.data.fill = fill;
    await service.sessions.updateSession(session);
    expect(await bytesOf(session.sessionId)).toBe(DEFAULT_BYTES);
  });

  it('in whatever way it would grow, and the stored one stays', async () => {
    const { sessions } = service;
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' }, data: { kept: 1 } });
    const before = await store.read(session.sessionId);
    const growths: [grow: (current: Session) => void, path: string][] = [
      [({ data }) => void (data.large = 'x'.repeat(70_000)), 'data'],
      [({ data }) => void (data.large = Array.from({ length: 70_000 }, () => 0)), 'data'],
      [({ data }) => void (data[`k${'x'.repeat(70_000)}`] = 0), 'data'],
      [({ user }) => void (user!.metadata.large = 'x'.repeat(70_000)), 'user'],
      [({ user }) => void user!.roles.push('x'.repeat(70_000)), 'user'],
      [(current) => current.addFlashMessage('x'.repeat(70_000)), 'flash'],
      [(current) => current.addFlashMessage('hello', 'x'.repeat(70_000)), 'flash'],
      [(current) => Array.from({ length: 700 }).forEach(() => current.addFlashMessage('x'.repeat(100))), 'flash'],
    ];
    for (const [grow, path] of growths) {
      const own = await sessions.getSession(token);
      grow(own);
      await expect(sessions.updateSession(own)).rejects.toMatchObject({ ...TOO_LARGE, path });
      await expect(sessions.update(session.sessionId, grow)).rejects.toMatchObject({ ...TOO_LARGE, path });
      await expect(sessions.regenerateSessionId(own)).rejects.toMatchObject({ ...TOO_LARGE, path });
      expect(await store.read(session.sessionId)).toBe(before);
    }
    const user = { userId: 'ann', roles: ['x'.repeat(70_000)] };
    await expect(sessions.createSession({ user })).rejects.toMatchObject({ ...TOO_LARGE, path: 'user' });
    const halves = { user: { userId: 'ann', email: 'x'.repeat(40_000) }, data: { half: 'x'.repeat(40_000) } };
    await expect(sessions.createSession(halves)).rejects.toMatchObject(TOO_LARGE);
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('and what shares parts counts as often as it is referred to, and does not hang', async () => {
    const { sessions } = service;
    const { session } = await sessions.createSession();
    const text = 'x'.repeat(60_000);
    const keyed = { [text]: 1 };
    for (const value of [
      shared(40),
      shared(90),
      Array.from({ length: 1_000 }, () => text),
      Array.from({ length: 20_000 }, () => keyed),
      new Array(2 ** 32 - 1),
    ]) {
      await expect(sessions.createSession({ data: { value } })).rejects.toMatchObject(TOO_LARGE);
      await expect(sessions.createSession({ user: { userId: 'ann', metadata: { value } } })).rejects.toMatchObject(
        TOO_LARGE,
      );
      await expect(sessions.update(session.sessionId, ({ data }) => void (data.value = value))).rejects.toMatchObject(
        TOO_LARGE,
      );
      await expect(
        sessions.update(session.sessionId, (current) => current.addFlashMessage(value as string)),
      ).rejects.toThrow(SessionDataError);
    }
    const { token } = await sessions.createSession({ data: { tree: shared(10) } });
    expect((await sessions.getSession(token)).data).toEqual({ tree: shared(10) });
  });

  it('but one that is larger, from a time of a higher limit, is read and can be made smaller bit by bit', async () => {
    const { sessions } = service;
    const { id, token } = await oversized();
    const before = await bytesOf(id);
    await expect(sessions.update(id, ({ data }) => void (data.one = 1))).rejects.toMatchObject(TOO_LARGE);
    expect(await bytesOf(id)).toBe(before);

    const session = await sessions.getSession(token);
    session.data.other = 'z'.repeat(20_000);
    await sessions.updateSession(session);
    expect(await bytesOf(id)).toBe(before);
    delete session.data.other;
    await sessions.updateSession(session);
    expect(await bytesOf(id)).toBeLessThan(before);
    expect(await bytesOf(id)).toBeGreaterThan(DEFAULT_BYTES);
    delete session.data.large;
    session.data.one = 1;
    await sessions.updateSession(session);
    expect((await sessions.getSession(token)).data).toEqual({ one: 1 });
  });

  it('and such a one of many small values too', async () => {
    const { id } = await oversized({ many: Array.from({ length: 100_000 }, () => 0) });
    const updated = await service.sessions.update(id, ({ data }) => void (data.many as number[]).pop());
    expect(updated.data.many).toHaveLength(99_999);
  });

  it('and all that does not make it larger goes on: renewal, regeneration, flash, invalidation, deletion', async () => {
    const { sessions, clock } = service;
    const { session: other } = await roomy.sessions.createSession({ data: { large: 'x'.repeat(100_000) } });
    other.addFlashMessage('hello');
    await roomy.sessions.updateSession(other);
    expect(await sessions.takeFlash(other)).toMatchObject([{ message: 'hello' }]);

    const { token } = await oversized();
    clock.advanceSeconds(2_000);
    await sessions.renewSession(token);
    clock.advanceSeconds(2_000);
    const regenerated = await sessions.regenerateSessionId(await sessions.getSession(token));
    expect(regenerated.session.data.large).toHaveLength(100_000);
    expect(await sessions.invalidateSession(regenerated.session)).toBe(true);

    await oversized();
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('but takes a change of its user that rights depend on, however full it is, and goes on at that size', async () => {
    const { sessions } = service;
    const user = { userId: 'ann', roles: ['admin'] };
    const { session, token } = await sessions.createSession({ user, data: { fill: '' } });
    session.data.fill = 'x'.repeat(DEFAULT_BYTES - (await bytesOf(session.sessionId)));
    await sessions.updateSession(session);
    const larger = await oversized({ fill: 'x'.repeat(100_000) });
    const suspend = (of: SessionUser) => Object.assign(of, { roles: ['restricted'], suspended: true });
    expect(await sessions.updateUserSessions('ann', suspend)).toBe(2);
    expect((await sessions.getSession(larger.token)).user).toMatchObject({ roles: ['restricted'], suspended: true });
    expect(await bytesOf(session.sessionId)).toBeGreaterThan(DEFAULT_BYTES);

    const own = await sessions.getSession(token);
    expect(own.user).toMatchObject({ roles: ['restricted'], suspended: true });
    own.data.one = 1;
    await expect(sessions.updateSession(own)).rejects.toMatchObject(TOO_LARGE);
    delete own.data.one;
    own.data.fill = (own.data.fill as string).replaceAll('x', 'y');
    await sessions.updateSession(own);
    service.clock.advanceSeconds(2_000);
    await sessions.renewSession(token);
    await sessions.setLifetime(own, { ttl: 5_000 });
    const regenerated = await sessions.regenerateSessionId(await sessions.getSession(token), { grace: 10 });
    const renamed = await sessions.getSession(regenerated.token!);
    expect(renamed.user).toMatchObject({ roles: ['restricted'], suspended: true });
    renamed.data.fill = 'z';
    await sessions.updateSession(renamed);
    expect(await bytesOf(renamed.sessionId)).toBeLessThan(1_000);

    expect(await sessions.deleteUserSessions('ann')).toBe(2);
  });
});
