import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionNotFoundError, SessionUsageError, type Session } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

const addTo = (key: string, item: unknown) => {
  return ({ data }: Session) => {
    data[key] = [...((data[key] as unknown[] | undefined) ?? []), item];
  };
};

describe.each(everyBackend())('update, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    // What is asked here is that nothing is lost, not how long it takes on a busy machine.
    instances = await startTwo(store, { backendTimeout: 10_000 });
    ({ barrier, one, two } = instances);
  });

  afterAll(() => instances.stop());

  const writes = () => barrier.calls.replace ?? 0;

  describe('of a session that is held', () => {
    it('shows the result on it, with what others have stored', async () => {
      const { token } = await one.sessions.createSession({ user: { userId: 'ann' }, data: { cart: ['book'] } });
      const session = await one.sessions.getSession(token);
      const { data, user } = session;
      const other = await two.sessions.getSession(token);
      other.data.theme = 'dark';
      await two.sessions.updateSession(other);
      const updated = await one.sessions.update(session, (current) => {
        addTo('cart', 'pen')(current);
        current.user!.roles.push('buyer');
        current.addFlashMessage('added');
      });
      expect(updated).toBe(session);
      expect([session.data, session.user]).toEqual([data, user]);
      expect(data).toEqual({ cart: ['book', 'pen'], theme: 'dark' });
      expect(user!.roles).toEqual(['buyer']);
      expect(session.getFlashMessages({ clear: false })).toMatchObject([{ message: 'added' }]);
      expect((await two.sessions.getSession(token)).data).toEqual({ cart: ['book', 'pen'], theme: 'dark' });
    });

    it('stores what was changed on it before too, which the function sees, and once', async () => {
      const { token } = await one.sessions.createSession({ data: { n: 1 } });
      const session = await one.sessions.getSession(token);
      session.data.n = 10;
      session.addFlashMessage('before');
      const before = writes();
      await one.sessions.update(session, ({ data }) => {
        data.n = Number(data.n) + 1;
      });
      await one.sessions.updateSession(session);
      expect(writes() - before).toBe(1);
      const stored = await two.sessions.getSession(token);
      expect(stored.data).toEqual({ n: 11 });
      expect(stored.getFlashMessages()).toHaveLength(1);
    });

    it('keeps what is changed on it while the update runs, for the next commit', async () => {
      const { token } = await one.sessions.createSession({ data: { n: 1 } });
      const session = await one.sessions.getSession(token);
      const write = barrier.stopNext('replace');
      const update = one.sessions.update(session, ({ data }) => {
        data.n = 2;
      });
      await write.arrived;
      session.data.beside = true;
      write.letGo();
      await update;
      expect(session.data).toEqual({ n: 2, beside: true });
      await one.sessions.updateSession(session);
      expect((await two.sessions.getSession(token)).data).toEqual({ n: 2, beside: true });
    });

    it('loses none of 40 items that two processes add at once', async () => {
      const { token } = await one.sessions.createSession();
      await atOnce(40, async (index) => {
        const { sessions } = index % 2 === 0 ? one : two;
        await sessions.update(await sessions.getSession(token), addTo('cart', index));
      });
      expect((await one.sessions.getSession(token)).data.cart).toHaveLength(40);
    });

    it('leaves it as it was when the function throws, or the session has ended', async () => {
      const { token } = await one.sessions.createSession({ data: { n: 1 } });
      const session = await one.sessions.getSession(token);
      session.data.mine = true;
      const bug = () => {
        throw new RangeError('a bug of the application');
      };
      await expect(one.sessions.update(session, bug)).rejects.toThrow(RangeError);
      expect(session.data).toEqual({ n: 1, mine: true });
      await two.sessions.deleteSession(session.sessionId);
      await expect(one.sessions.update(session, addTo('cart', 1))).rejects.toMatchObject({ code: 'SESSION_ENDED' });
      expect(session.status).toBe('ended');
      await expect(one.sessions.updateSession(session)).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    });

    it('refuses an asynchronous function, and what is no session', async () => {
      const { session } = await one.sessions.createSession();
      const asynchronous = (() => Promise.resolve()) as () => void;
      await expect(one.sessions.update(session, asynchronous)).rejects.toThrow(SessionUsageError);
      const copy = { ...session.toJSON() } as unknown as Session;
      await expect(one.sessions.update(copy, () => undefined)).rejects.toThrow(SessionUsageError);
    });
  });

  describe('that changes nothing', () => {
    const nothing: [what: string, change: (session: Session) => void][] = [
      ['does nothing', () => undefined],
      [
        'stores the same value again',
        ({ data }) => {
          data.cart = ['book'];
        },
      ],
      [
        'undoes its change',
        ({ data, user }) => {
          data.extra = 1;
          delete data.extra;
          user!.roles.push('admin');
          user!.roles.pop();
        },
      ],
      ['takes no flash message', (session) => session.getFlashMessages()],
    ];

    it.each(nothing)('writes nothing: %s', async (_what, change) => {
      const { token, session } = await one.sessions.createSession({
        user: { userId: 'ann' },
        data: { cart: ['book'] },
      });
      const before = writes();
      expect((await one.sessions.update(session.sessionId, change)).data).toEqual({ cart: ['book'] });
      expect((await one.sessions.update(session, change)).data).toEqual({ cart: ['book'] });
      expect(writes()).toBe(before);
      const { version } = (await barrier.backend.read(session.sessionId))!;
      expect(version).toBe(1);
      expect((await two.sessions.getSession(token)).data).toEqual({ cart: ['book'] });
    });

    it('of a session that has ended is refused all the same', async () => {
      const { session } = await one.sessions.createSession();
      await two.sessions.deleteSession(session.sessionId);
      const { sessionId } = session;
      await expect(one.sessions.update(sessionId, () => undefined)).rejects.toThrow(SessionNotFoundError);
      await expect(one.sessions.update(session, () => undefined)).rejects.toThrow(SessionNotFoundError);
    });

    it('as far as its holder knows, and does when another writer came between', async () => {
      const { token } = await one.sessions.createSession({ data: { theme: 'light' } });
      const session = await one.sessions.getSession(token);
      const other = await two.sessions.getSession(token);
      other.data.theme = 'dark';
      await two.sessions.updateSession(other);
      await one.sessions.update(session, ({ data }) => {
        data.theme = 'light';
      });
      expect(session.data).toEqual({ theme: 'light' });
      expect((await two.sessions.getSession(token)).data).toEqual({ theme: 'light' });
    });
  });

  it('a commit of a flash message that another request has taken already writes nothing', async () => {
    const { token, session } = await one.sessions.createSession();
    await one.sessions.update(session, (current) => current.addFlashMessage('once'));
    const [first, second] = await atOnce(2, () => one.sessions.getSession(token));
    expect(first!.getFlashMessages()).toHaveLength(1);
    expect(second!.getFlashMessages()).toHaveLength(1);
    await one.sessions.updateSession(first!);
    const before = (await barrier.backend.read(session.sessionId))!.version;
    await one.sessions.updateSession(second!);
    expect((await barrier.backend.read(session.sessionId))!.version).toBe(before);
  });

  it('takes ids that a client may have sent: what is none is no session', async () => {
    for (const id of ['', 'garbage', '__proto__', 'x'.repeat(59), 'ü'.repeat(59)]) {
      await expect(one.sessions.update(id, () => undefined)).rejects.toThrow(SessionNotFoundError);
      expect(await one.sessions.deleteSession(id)).toBe(false);
    }
  });
});
