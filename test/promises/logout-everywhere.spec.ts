import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { generateSecretKey, SessionInvalidError, type SessionSecret, type TokenSerializer } from 'nestjs-sessionx';

import { SECRET_KEY } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import {
  atOnce,
  outcomes,
  startService,
  startTwo,
  type ServiceUnderTest,
  type TwoInstances,
} from '../support/services.js';

describe.each(everyBackend())('log out everywhere, on $name', (store) => {
  let instances: TwoInstances;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ one, two } = instances);
  });

  afterAll(() => instances.stop());

  it('ends all sessions of the user and nobody else, and counts them', async () => {
    const mine = await atOnce(10, () => one.sessions.createSession({ user: { userId: 'ann' } }));
    const other = await one.sessions.createSession({ user: { userId: 'bob' } });

    expect(await two.sessions.deleteUserSessions('ann')).toBe(10);
    const { values } = await outcomes(mine.map(({ token }) => one.sessions.getSession(token)));
    expect(values).toEqual([]);
    expect((await one.sessions.getSession(other.token)).user?.userId).toBe('bob');
    expect(await two.sessions.deleteUserSessions('ann')).toBe(0);
  });

  it('spares the session that is to be kept', async () => {
    const [kept] = await atOnce(3, () => one.sessions.createSession({ user: { userId: 'carl' } }));
    expect(await one.sessions.deleteUserSessions('carl', { except: kept!.session.sessionId })).toBe(2);
    expect((await one.sessions.listUserSessions('carl')).map(({ sessionId }) => sessionId)).toEqual([
      kept!.session.sessionId,
    ]);
  });

  it('does not count sessions that had expired or ended before', async () => {
    await one.sessions.createSession({ user: { userId: 'dora' }, ttl: 10 });
    const ended = await one.sessions.createSession({ user: { userId: 'dora' } });
    await one.sessions.createSession({ user: { userId: 'dora' } });
    await one.sessions.deleteSession(ended.session.sessionId);
    one.clock.advanceSeconds(11);
    expect(await one.sessions.deleteUserSessions('dora')).toBe(1);
  });

  it('is complete: a login that races it is ended, refused or listed, never alive and unlisted', async () => {
    for (let round = 0; round < 30; round++) {
      const anonymous = await one.sessions.createSession();
      const logins = atOnce(3, () => two.sessions.createSession({ user: { userId: 'eve' } }));
      const [count, issued] = await Promise.all([one.sessions.deleteUserSessions('eve'), logins]);
      const { values: alive } = await outcomes(issued.map(({ token }) => one.sessions.getSession(token)));
      const listed = await one.sessions.listUserSessions('eve');
      expect(listed.map(({ sessionId }) => sessionId).sort()).toEqual(alive.map(({ sessionId }) => sessionId).sort());
      expect(count).toBe(3 - alive.length);
      await one.sessions.deleteUserSessions('eve');
      await one.sessions.deleteSession(anonymous.session.sessionId);
    }
  });

  it.each(['remembered', 'verified anew each time'])(
    'refuses a session that it would miss, as its indexKey has changed, with tokens that are %s',
    async (kind) => {
      const plain: TokenSerializer = {
        serialize: ({ secret }) => secret,
        verify: (token) => ({
          valid: true,
          claims: { secret: token as SessionSecret, issuedAt: 0 },
          outdated: false,
        }),
      };
      const options = kind === 'remembered' ? {} : { tokenFormat: plain };
      const former = await startService(store.another(), { ...options, indexKey: SECRET_KEY }, one.clock);
      const users = await atOnce(2, () => former.sessions.createSession({ user: { userId: 'gina' } }));
      const anonymous = await former.sessions.createSession({ data: { cart: ['book'] } });
      const later = await startService(store.another(), { ...options, indexKey: generateSecretKey() }, one.clock);
      const own = await later.sessions.createSession({ user: { userId: 'gina' } });

      for (const { token } of [...users, ...users]) {
        await expect(later.sessions.getSession(token)).rejects.toMatchObject({ code: 'INDEX_KEY_CHANGED' });
        await expect(later.sessions.renewSession(token)).rejects.toBeInstanceOf(SessionInvalidError);
      }
      expect((await later.sessions.getSession(anonymous.token)).data).toEqual({ cart: ['book'] });
      expect((await later.sessions.getSession(own.token)).user?.userId).toBe('gina');
      expect(await later.sessions.deleteUserSessions('gina')).toBe(1);
      expect((await former.sessions.getSession(users[0]!.token)).user?.userId).toBe('gina');
      expect(await former.sessions.deleteUserSessions('gina')).toBe(2);
      await later.close();
      await former.close();
    },
  );

  it('lists devices without a token, the latest used first', async () => {
    await one.sessions.createSession({ user: { userId: 'fred' }, ipAddress: '::ffff:192.0.2.1', userAgent: 'phone' });
    one.clock.advanceSeconds(100);
    const { token } = await one.sessions.createSession({ user: { userId: 'fred' }, userAgent: 'laptop' });
    const devices = await two.sessions.listUserSessions('fred');
    expect(devices.map(({ userAgent }) => userAgent)).toEqual(['laptop', 'phone']);
    expect(devices[1]).toMatchObject({ ipAddress: '192.0.2.1' });
    expect(JSON.stringify(devices)).not.toContain(token.slice(0, 56));
  });
});
