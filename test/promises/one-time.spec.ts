import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  SessionBackendError,
  SessionDataError,
  SessionNotFoundError,
  SessionUsageError,
  type Session,
} from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import type { BarrierBackend } from '../support/barrier-backend.js';
import { atOnce, outcomes, startTwo, type ServiceUnderTest, type TwoInstances } from '../support/services.js';

describe.each(everyBackend())('a one-time value is handed out once, on $name', (store) => {
  let instances: TwoInstances;
  let barrier: BarrierBackend;
  let one: ServiceUnderTest;
  let two: ServiceUnderTest;
  let token: string;
  let session: Session;

  beforeAll(async () => {
    instances = await startTwo(store);
    ({ barrier, one, two } = instances);
  });

  beforeEach(async () => {
    ({ token, session } = await one.sessions.createSession({ data: { cart: ['book'] } }));
  });

  afterAll(() => instances.stop());

  const opened = (service = two) => service.sessions.getSession(token);
  const consume = async (name: string, service = two) => service.sessions.oneTime.consume(await opened(service), name);

  it('to one of 20 that consume it at once, in two processes', async () => {
    await one.sessions.oneTime.put(session, 'state', { verifier: 'secret' });
    const holders = await atOnce(20, (index) => opened(index % 2 === 0 ? one : two));
    const values = await atOnce(20, (index) =>
      (index % 2 === 0 ? one : two).sessions.oneTime.consume(holders[index]!, 'state'),
    );
    expect(values.filter((value) => value !== null)).toEqual([{ verifier: 'secret' }]);
    expect(await consume('state')).toBeNull();
  });

  it('to the faster one, where another has read the session before', async () => {
    await one.sessions.oneTime.put(session, 'state', 'secret');
    const slow = await opened(one);
    const write = barrier.stopNext('replace');
    const second = one.sessions.oneTime.consume(slow, 'state');
    await write.arrived;
    expect(await consume('state')).toBe('secret');
    write.letGo();
    expect(await second).toBeNull();
  });

  it('also from an object that was loaded before the value was put, and by the one that has put it', async () => {
    const early = await opened();
    await one.sessions.oneTime.put(session, 'state', 1);
    await one.sessions.oneTime.put(session, 'nonce', 2);
    expect(await two.sessions.oneTime.consume(early, 'state')).toBe(1);
    expect(await one.sessions.oneTime.consume(session, 'nonce')).toBe(2);
    expect(await one.sessions.oneTime.consume(session, 'state')).toBeNull();
  });

  it.each<unknown>([{ a: [1, { b: null }], ü: '😀' }, [], 'text', '', 0, false, { name: '__proto__' }])(
    'as it was put: %j',
    async (value) => {
      for (const name of ['state', '__proto__', 'constructor', 'ü\n"😀', 'x'.repeat(256), '\ud800']) {
        await one.sessions.oneTime.put(session, name, value);
        expect(await consume(name)).toEqual(value);
        expect(await consume(name)).toBeNull();
      }
    },
  );

  it('as it was when it was put, whatever its owner changes meanwhile', async () => {
    const value = { step: 1 };
    const write = barrier.stopNext('replace');
    const putting = one.sessions.oneTime.put(session, 'state', value);
    await write.arrived;
    value.step = 2;
    // So that it is stored by a second attempt.
    await two.sessions.update(session.sessionId, ({ data }) => void (data.other = true));
    write.letGo();
    await putting;
    expect(await consume('state')).toEqual({ step: 1 });
  });

  it('and only under its own name and in its own session', async () => {
    const other = await one.sessions.createSession();
    await one.sessions.oneTime.put(session, 'state', 'mine');
    expect(await one.sessions.oneTime.consume(other.session, 'state')).toBeNull();
    for (const name of ['State', 'state ', 'stat', 'x'.repeat(300)]) expect(await consume(name)).toBeNull();
    expect(await consume('state')).toBe('mine');
  });

  it('until its ttl is over, 600 seconds by default, to the millisecond', async () => {
    await one.sessions.oneTime.put(session, 'short', 1, { ttl: 1.5 });
    await one.sessions.oneTime.put(session, 'kept', 2, { ttl: 1.5 });
    await one.sessions.oneTime.put(session, 'default', 3);
    await one.sessions.oneTime.put(session, 'kept default', 4);
    one.clock.advance(1499);
    expect(await consume('kept')).toBe(2);
    one.clock.advance(1);
    expect(await consume('short')).toBeNull();
    one.clock.advanceSeconds(598.499);
    expect(await consume('kept default')).toBe(4);
    one.clock.advance(1);
    expect(await consume('default')).toBeNull();
  });

  it('and a second one of its name takes its place, with a ttl of its own', async () => {
    await one.sessions.oneTime.put(session, 'state', 'old', { ttl: 10 });
    await two.sessions.oneTime.put(await opened(), 'state', 'new', { ttl: 20 });
    one.clock.advanceSeconds(15);
    expect(await consume('state')).toBe('new');
    expect(await consume('state')).toBeNull();
  });

  it('and of more than 20 the oldest goes, by when it was put last; those that have expired go before', async () => {
    const put = (name: number, ttl = 600) => one.sessions.oneTime.put(session, `value ${name}`, name, { ttl });
    for (let name = 1; name <= 20; name++) await put(name, name === 10 ? 5 : 600);
    await put(1);
    one.clock.advanceSeconds(5);
    await put(21);
    await put(22);
    const left: unknown[] = [];
    for (let name = 1; name <= 22; name++) left.push(await consume(`value ${name}`));
    expect(left).toEqual([1, null, ...Array.from({ length: 20 }, (_, index) => (index === 7 ? null : index + 3))]);
  });

  it('and 20 that are put at once are all there', async () => {
    const holders = await atOnce(20, (index) => opened(index % 2 === 0 ? one : two));
    await atOnce(20, (index) =>
      (index % 2 === 0 ? one : two).sessions.oneTime.put(holders[index]!, `value ${index}`, index),
    );
    const values: unknown[] = [];
    for (let index = 0; index < 20; index++) values.push(await consume(`value ${index}`));
    expect(values).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it('apart from the other changes of the session, which stay as they are', async () => {
    const writer = await opened(one);
    writer.data.step = 1;
    await one.sessions.oneTime.put(writer, 'state', 'secret');
    expect((await opened()).data).toEqual({ cart: ['book'] });
    writer.data.more = true;
    expect(await consume('state')).toBe('secret');
    await one.sessions.updateSession(writer);
    expect(await consume('state')).toBeNull();
    expect((await opened()).data).toEqual({ cart: ['book'], step: 1, more: true });
    expect(JSON.stringify([await opened(), one.events])).not.toContain('secret');
  });

  it('though the session gets a new id', async () => {
    await one.sessions.oneTime.put(session, 'state', 'secret');
    const issued = await one.sessions.regenerateSessionId(session);
    await expect(one.sessions.oneTime.consume(session, 'state')).rejects.toMatchObject({ code: 'SESSION_ENDED' });
    expect(await one.sessions.oneTime.consume(issued.session, 'state')).toBe('secret');
  });

  it('and nothing of it is left when the session ends, for whoever still holds it', async () => {
    await one.sessions.oneTime.put(session, 'state', 'secret');
    const holder = await opened();
    await one.sessions.deleteSession(session.sessionId);
    for (const use of [
      () => two.sessions.oneTime.consume(holder, 'state'),
      () => two.sessions.oneTime.put(holder, 'other', 1),
      () => one.sessions.oneTime.consume(session, 'state'),
    ]) {
      await expect(use()).rejects.toBeInstanceOf(SessionNotFoundError);
    }
  });

  it('or not at all where the store fails, and is still there afterwards', async () => {
    await one.sessions.oneTime.put(session, 'state', 'old');
    const holder = await opened(one);
    barrier.fail('replace');
    await expect(one.sessions.oneTime.consume(holder, 'state')).rejects.toBeInstanceOf(SessionBackendError);
    await expect(one.sessions.oneTime.put(holder, 'state', 'new')).rejects.toMatchObject({ status: 503 });
    barrier.fail('read');
    await expect(one.sessions.oneTime.consume(holder, 'other')).rejects.toMatchObject({ status: 503 });
    barrier.heal();
    expect(await one.sessions.oneTime.consume(holder, 'state')).toBe('old');
  });

  it('and is refused where the session would be too large, and what was there stays', async () => {
    await one.sessions.oneTime.put(session, 'state', 'old');
    for (const value of ['x'.repeat(65_500), 'x'.repeat(70_000)]) {
      await expect(one.sessions.oneTime.put(session, 'state', value)).rejects.toMatchObject({
        code: 'SESSION_TOO_LARGE',
        path: expect.stringMatching(/^oneTime/),
      });
    }
    expect(await consume('state')).toBe('old');
  });

  it.each<[what: string, value: unknown, path: string]>([
    ['undefined', undefined, 'oneTime.state'],
    ['a date', { at: [new Date(0)] }, 'oneTime.state.at[0]'],
    ['a function', () => 1, 'oneTime.state'],
    ['NaN', NaN, 'oneTime.state'],
    ['a key __proto__', JSON.parse('{"__proto__":1}'), 'oneTime.state'],
  ])('and is refused if JSON cannot hold it: %s', async (_what, value, path) => {
    await expect(one.sessions.oneTime.put(session, 'state', value)).rejects.toMatchObject({
      name: SessionDataError.name,
      code: 'DATA_NOT_STORABLE',
      path,
    });
  });

  it('and is refused with a name or a ttl that is none, or as null, which means that there is none', async () => {
    const { oneTime } = one.sessions;
    const refused: Promise<unknown>[] = [
      ...[undefined, null, '', 7, {}, ['state']].flatMap((name) => [
        oneTime.put(session, name as string, 1),
        oneTime.consume(session, name as string),
      ]),
      ...[0, -1, NaN, Infinity, 0.0001, '600', null, 4e9].map((ttl) =>
        oneTime.put(session, 'state', 1, { ttl: ttl as number }),
      ),
      ...[null, 60, '60', [60], () => 60].map((options) => oneTime.put(session, 'state', 1, options as object)),
      oneTime.put(session, 'state', null),
      oneTime.put({ ...session } as Session, 'state', 1),
      oneTime.consume(token as unknown as Session, 'state'),
    ];
    const { values, errors } = await outcomes(refused);
    expect(values).toEqual([]);
    expect(errors.filter((error) => !(error instanceof SessionUsageError))).toEqual([]);
    await expect(oneTime.put(session, 'x'.repeat(257), 1)).rejects.toMatchObject({ status: 400 });
    expect(await consume('state')).toBeNull();
  });
});
