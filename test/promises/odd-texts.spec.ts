import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionDataError } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { ODD_TEXTS, USER_AGENTS } from '../support/odd-texts.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const TEXTS_OF_A_SESSION = 100;
const isUserId = (text: string) => text !== '' && text.length <= 512 && text.isWellFormed();

/** The texts in groups, each for one session. */
const groups = Array.from({ length: Math.ceil(ODD_TEXTS.length / TEXTS_OF_A_SESSION) }, (_, index) =>
  ODD_TEXTS.slice(index * TEXTS_OF_A_SESSION, (index + 1) * TEXTS_OF_A_SESSION),
);

describe.each(everyBackend())('texts that have broken programs are plain text, on $name', (store) => {
  let service: ServiceUnderTest;
  let other: ServiceUnderTest;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another());
    other = await startService(store.another(), {}, service.clock);
  });

  afterAll(async () => {
    await service.close();
    await other.close();
    await store.stop();
  });

  it('there are hundreds of them', () => {
    expect(ODD_TEXTS.length).toBeGreaterThan(500);
    expect(ODD_TEXTS.filter(isUserId).length).toBeGreaterThan(500);
  });

  it('as user ids: each has its own sessions and no other ones', async () => {
    const tokens = new Map<string, string>();
    for (const userId of ODD_TEXTS) {
      const creation = service.sessions.createSession({ user: { userId, username: userId } });
      if (isUserId(userId)) tokens.set(userId, (await creation).token);
      else await expect(creation).rejects.toThrow(SessionDataError);
    }
    for (const [userId, token] of tokens) {
      const session = await other.sessions.getSession(token);
      expect(session.user).toMatchObject({ userId, username: userId });
      const listed = await other.sessions.listUserSessions(userId);
      expect(listed.map(({ sessionId }) => sessionId)).toEqual([session.sessionId]);
    }
    for (const [userId, token] of tokens) {
      expect(await service.sessions.deleteUserSessions(userId)).toBe(1);
      await expect(other.sessions.getSession(token)).rejects.toMatchObject({ status: 401 });
    }
  });

  it('as keys and values of data, made with the session and changed later', async () => {
    for (const texts of groups) {
      const keys = texts.filter((text) => text !== '__proto__');
      const data = Object.fromEntries(keys.map((text) => [text, [text, { [text]: text }]]));
      const { session, token } = await service.sessions.createSession({ data });
      const loaded = await other.sessions.getSession(token);
      expect(loaded.data).toEqual(data);
      for (const key of keys) loaded.data[key] = `${key} ${key}`;
      await other.sessions.updateSession(loaded);
      await other.sessions.update(session.sessionId, (current) => {
        for (const key of keys.slice(1)) Reflect.deleteProperty(current.data, key);
      });
      const [first = ''] = keys;
      expect((await service.sessions.getSession(token)).data).toEqual({ [first]: `${first} ${first}` });
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it('as fields, roles and metadata of a user', async () => {
    for (const texts of groups) {
      const keys = texts.filter((text) => text !== '__proto__');
      const metadata = Object.fromEntries(keys.map((text) => [text, text]));
      const user = { userId: 'ann', email: texts[0]!, roles: [...texts], permissions: [...texts], metadata };
      const { token } = await service.sessions.createSession({ user });
      expect((await other.sessions.getSession(token)).user).toEqual(user);
    }
    expect(await service.sessions.deleteUserSessions('ann')).toBe(groups.length);
  });

  it('as flash messages and their categories, in their order', async () => {
    for (const texts of groups) {
      const { session } = await service.sessions.createSession();
      for (const text of texts) session.addFlashMessage(text, text);
      await service.sessions.updateSession(session);
      const taken = await other.sessions.takeFlash(session);
      expect(taken.map(({ message, category }) => [message, category])).toEqual(texts.map((text) => [text, text]));
      expect(await service.sessions.takeFlash(session)).toEqual([]);
    }
  });

  it('as User-Agents', async () => {
    const kept = (userAgent: string) => userAgent.slice(0, 512);
    for (const userAgent of USER_AGENTS) {
      const { token } = await service.sessions.createSession({ user: { userId: 'ann' }, userAgent });
      expect((await other.sessions.getSession(token)).userAgent).toBe(kept(userAgent));
    }
    const listed = await other.sessions.listUserSessions('ann');
    expect(listed.map(({ userAgent }) => userAgent).sort()).toEqual(USER_AGENTS.map(kept).sort());
    expect(await service.sessions.deleteUserSessions('ann')).toBe(USER_AGENTS.length);
    for (const userAgent of ODD_TEXTS) {
      const { token } = await service.sessions.createSession({ userAgent });
      expect((await other.sessions.getSession(token)).userAgent).toBe(kept(userAgent));
    }
  });

  it('as tokens and session ids, none of which is one', async () => {
    for (const text of ODD_TEXTS) {
      await expect(service.sessions.getSession(text)).rejects.toMatchObject({ status: 401 });
      await expect(service.sessions.update(text, () => undefined)).rejects.toMatchObject({ status: 401 });
      expect(await service.sessions.deleteSession(text)).toBe(false);
    }
  });
});
