import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { SessionData } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { atOnce, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

describe.each(everyBackend())('changes of one session are merged, on $name', (store) => {
  let instances: TwoInstances;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    // What is promised here is that nothing is lost, not how long it takes on a busy machine.
    instances = await startTwo(store, { backendTimeout: 10_000 });
    ({ one, two } = instances);
  });

  afterAll(() => instances.stop());

  it('what another client stored stays when the session takes messages meanwhile, and stores something else', async () => {
    const { session, token } = await one.sessions.createSession({ user: { userId: 'ann' }, data: { count: 1 } });
    session.addFlashMessage('hello');
    await one.sessions.updateSession(session);
    const held = await one.sessions.getSession(token);
    expect(held.data).toEqual({ count: 1 });
    await one.sessions.update(session.sessionId, ({ data }) => void (data.count = 2));
    expect(await one.sessions.takeFlash(held)).toHaveLength(1);
    held.user!.email = 'ann@example.org';
    await one.sessions.updateSession(held);
    held.user!.email = 'ann@example.com';
    await one.sessions.updateSession(held);
    expect((await one.sessions.getSession(token)).data).toEqual({ count: 2 });
  });

  it('keeps all 50 keys of 50 requests that each set their own', async () => {
    const { token } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const loaded = await atOnce(50, (index) => (index % 2 === 0 ? one : two).sessions.getSession(token));
    await atOnce(50, async (index) => {
      loaded[index]!.data[`key${index}`] = index;
      await (index % 2 === 0 ? one : two).sessions.updateSession(loaded[index]!);
    });

    const { data } = await one.sessions.getSession(token);
    expect(Object.keys(data)).toHaveLength(50);
    expect(data.key49).toBe(49);
  });

  it('counts 200 parallel updates as 200', async () => {
    const { session } = await one.sessions.createSession({ data: { n: 0 } });
    const increment = (current: { data: SessionData }) => {
      current.data.n = Number(current.data.n) + 1;
    };
    await atOnce(200, () => one.sessions.update(session.sessionId, increment));
    const { data } = await one.sessions.update(session.sessionId, () => undefined);
    expect(data.n).toBe(200);
  });

  it('stores all of 200 commits of one session at once', async () => {
    const { token } = await one.sessions.createSession();
    const loaded = await atOnce(200, () => one.sessions.getSession(token));
    await atOnce(200, async (index) => {
      loaded[index]!.data[`key${index}`] = index;
      await one.sessions.updateSession(loaded[index]!);
    });
    expect(Object.keys((await one.sessions.getSession(token)).data)).toHaveLength(200);
  });

  it('counts updates of two processes, neither of which knows of the other', async () => {
    const { session } = await one.sessions.createSession({ data: { n: 0 } });
    await atOnce(40, (index) =>
      (index % 2 === 0 ? one : two).sessions.update(session.sessionId, (current) => {
        current.data.n = Number(current.data.n) + 1;
      }),
    );
    const { data } = await two.sessions.update(session.sessionId, () => undefined);
    expect(data.n).toBe(40);
  });

  it('lets the last writer of one key win, and leaves the other keys alone', async () => {
    const { token } = await one.sessions.createSession({ data: { theme: 'light', language: 'de', old: true } });
    const first = await one.sessions.getSession(token);
    const second = await two.sessions.getSession(token);
    first.data.theme = 'dark';
    delete first.data.old;
    second.data.theme = 'blue';
    await one.sessions.updateSession(first);
    await two.sessions.updateSession(second);
    expect((await one.sessions.getSession(token)).data).toEqual({ theme: 'blue', language: 'de' });
  });

  it('merges fields of the user one by one', async () => {
    const { token } = await one.sessions.createSession({ user: { userId: 'ann', username: 'Ann' } });
    const first = await one.sessions.getSession(token);
    const second = await two.sessions.getSession(token);
    first.user!.email = 'ann@example.org';
    second.user!.roles.push('admin');
    await one.sessions.updateSession(first);
    await two.sessions.updateSession(second);
    expect((await one.sessions.getSession(token)).user).toMatchObject({ email: 'ann@example.org', roles: ['admin'] });
  });

  it('notices a change at any depth, and stores nothing when there is none', async () => {
    const { token } = await one.sessions.createSession({ data: { cart: { items: [{ sku: 'a', n: 1 }] } } });
    const session = await one.sessions.getSession(token);
    (session.data.cart as { items: { n: number }[] }).items[0]!.n = 2;
    await one.sessions.updateSession(session);
    expect((await one.sessions.getSession(token)).data).toEqual({ cart: { items: [{ sku: 'a', n: 2 }] } });
  });

  it('stores a flash message once, however often and at once the session is saved', async () => {
    const { token } = await one.sessions.createSession();
    const session = await one.sessions.getSession(token);
    session.addFlashMessage('saved');
    await Promise.all([one.sessions.updateSession(session), one.sessions.updateSession(session)]);
    expect((await one.sessions.getSession(token)).getFlashMessages()).toHaveLength(1);
  });

  it('refuses a change of the user id, and an async update function', async () => {
    const { token, session } = await one.sessions.createSession({ user: { userId: 'ann' } });
    const loaded = await one.sessions.getSession(token);
    Object.assign(loaded.user!, { userId: 'eve' });
    await expect(one.sessions.updateSession(loaded)).rejects.toMatchObject({ code: 'USER_ID_CHANGED' });
    const asynchronous = jest.fn(() => Promise.resolve());
    const failing = jest.fn(() => Promise.reject(new Error('of no interest')));
    await expect(one.sessions.update(session.sessionId, failing as jest.Mock<() => void>)).rejects.toMatchObject({
      code: 'USAGE',
    });
    await expect(one.sessions.update(session.sessionId, asynchronous as jest.Mock<() => void>)).rejects.toMatchObject({
      code: 'USAGE',
    });
    expect((await one.sessions.getSession(token)).user?.userId).toBe('ann');
  });
});
