import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

describe.each(everyBackend())('a flash message is handed out once, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ barrier, one, two } = instances);
  });

  afterAll(() => instances.stop());

  async function sessionWithMessage(): Promise<string> {
    const { token } = await one.sessions.createSession();
    const session = await one.sessions.getSession(token);
    session.addFlashMessage('saved', 'success');
    await one.sessions.updateSession(session);
    return token;
  }

  it('to one of 20 takers at once', async () => {
    const token = await sessionWithMessage();
    const holders = await atOnce(20, (index) => (index % 2 === 0 ? one : two).sessions.getSession(token));
    const taken = await atOnce(20, (index) => (index % 2 === 0 ? one : two).sessions.takeFlash(holders[index]!));
    expect(taken.flat()).toEqual([{ message: 'saved', category: 'success', timestamp: new Date(one.clock.now()) }]);
  });

  it('to the holder of a session that was read before it was left', async () => {
    const { token } = await one.sessions.createSession();
    const held = await one.sessions.getSession(token);
    await two.sessions.update(held.sessionId, (session) => session.addFlashMessage('saved'));
    expect(await one.sessions.takeFlash(held)).toMatchObject([{ message: 'saved' }]);
    expect(await one.sessions.takeFlash(held)).toEqual([]);
    expect(await two.sessions.takeFlash(await two.sessions.getSession(token))).toEqual([]);
  });

  it('to a holder that has read it, and takes once more before that is stored', async () => {
    const token = await sessionWithMessage();
    const held = await one.sessions.getSession(token);
    expect(held.getFlashMessages()).toHaveLength(1);
    expect(await one.sessions.takeFlash(held)).toEqual([]);
    await one.sessions.updateSession(held);
    expect((await two.sessions.getSession(token)).getFlashMessages()).toEqual([]);
  });

  it('and one that is added meanwhile is not lost', async () => {
    const token = await sessionWithMessage();
    const taker = await one.sessions.getSession(token);
    const adder = await two.sessions.getSession(token);
    adder.addFlashMessage('new');
    const write = barrier.stopNext('replace');
    const taking = one.sessions.takeFlash(taker);
    await write.arrived;
    await two.sessions.updateSession(adder);
    write.letGo();
    const first = await taking;
    const rest = await two.sessions.takeFlash(await two.sessions.getSession(token));
    expect([...first, ...rest].map(({ message }) => message).sort()).toEqual(['new', 'saved']);
  });

  it('and is left once, though the response of the store was lost and the commit comes again', async () => {
    const { token } = await one.sessions.createSession();
    const session = await one.sessions.getSession(token);
    session.addFlashMessage('saved');
    barrier.loseNextResponse('replace');
    await expect(one.sessions.updateSession(session)).rejects.toMatchObject({ status: 503 });
    await one.sessions.updateSession(session);
    expect(await two.sessions.takeFlash(await two.sessions.getSession(token))).toHaveLength(1);
  });

  it('and a stale commit restores none', async () => {
    const token = await sessionWithMessage();
    const stale = await one.sessions.getSession(token);
    stale.data.unrelated = true;
    await two.sessions.takeFlash(await two.sessions.getSession(token));
    await one.sessions.updateSession(stale);
    const session = await two.sessions.getSession(token);
    expect(session.getFlashMessages()).toEqual([]);
    expect(session.data.unrelated).toBe(true);
  });

  it('getFlashMessages clears at the commit, or not when told so', async () => {
    const token = await sessionWithMessage();
    const peek = await one.sessions.getSession(token);
    expect(peek.getFlashMessages({ clear: false })).toHaveLength(1);
    await one.sessions.updateSession(peek);
    const session = await one.sessions.getSession(token);
    expect(session.getFlashMessages()).toHaveLength(1);
    expect(session.getFlashMessages()).toEqual([]);
    await one.sessions.updateSession(session);
    expect((await one.sessions.getSession(token)).getFlashMessages()).toEqual([]);
  });

  it('once to one holder too, whichever of its ways it uses', async () => {
    const token = await sessionWithMessage();
    const session = await one.sessions.getSession(token);
    expect(session.getFlashMessages()).toHaveLength(1);
    await two.sessions.update(session.sessionId, (current) => current.addFlashMessage('new'));
    await one.sessions.update(session, () => undefined);
    session.addFlashMessage('own');
    const taken = await one.sessions.takeFlash(session);
    expect(taken.map(({ message }) => message)).toEqual(['new', 'own']);
    await one.sessions.updateSession(session);
    expect((await two.sessions.getSession(token)).getFlashMessages()).toEqual([]);
  });

  it('keeps its order, its category and its default', async () => {
    const { token } = await one.sessions.createSession();
    const session = await one.sessions.getSession(token);
    session.addFlashMessage('one');
    session.addFlashMessage('two', 'error');
    await one.sessions.updateSession(session);
    const taken = await one.sessions.takeFlash(await one.sessions.getSession(token));
    expect(taken.map(({ message, category }) => `${category}: ${message}`)).toEqual(['info: one', 'error: two']);
  });
});
