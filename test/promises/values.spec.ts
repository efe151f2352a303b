import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SessionDataError, type NewSessionUser, type Session } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { outcomes, startService, type ServiceUnderTest } from '../support/services.js';

const cycle: Record<string, unknown> = {};
cycle.self = { cycle };

class Item {
  sku = 'pen';
}

const parsed = (json: string): unknown => JSON.parse(json);

/** Only the application can make these. */
const refused: [what: string, value: unknown, path: string][] = [
  ['undefined', { a: undefined }, 'data.x.a'],
  ['NaN', [1, NaN], 'data.x[1]'],
  ['a Date', { at: new Date(0) }, 'data.x.at'],
  ['a Map', new Map(), 'data.x'],
  ['a Set', new Set(), 'data.x'],
  ['a BigInt', { 'odd key': 1n }, 'data.x["odd key"]'],
  ['a Buffer', Buffer.from('x'), 'data.x'],
  ['a function', { toJSON: () => 1 }, 'data.x.toJSON'],
  ['a symbol', Symbol('x'), 'data.x'],
  ['a symbol as a key', { [Symbol('x')]: 1 }, 'data.x'],
  ['an array with a hole', new Array(3), 'data.x'],
  ['an array with a name', Object.assign([1], { name: 1 }), 'data.x'],
  ['a cycle', cycle, 'data.x'],
  ['an object of an unnamed class', Object.create(Object.create(null) as object), 'data.x'],
  ['an instance of a class', new URL('http://localhost/'), 'data.x'],
  ['an instance of a class derived from Array', new (class List extends Array<number> {})(), 'data.x'],
];

/** A JSON body can hold these. */
const refusedInput: [what: string, value: unknown, path: string][] = [
  ['a number that overflows', parsed('{"price":1e999}'), 'data.x.price'],
  ['a negative one', parsed('[0,-1e999]'), 'data.x[1]'],
  ['101 levels', nested(100), `data.x${'[0]'.repeat(83)}…`],
  ['10,000 levels', nested(10_000), 'data.x[0][0]'],
  ['a key __proto__', parsed('{"a":{"__proto__":{"admin":true}}}'), 'data.x.a'],
  ['a key __proto__ that was merged', Object.assign({}, parsed('{"__proto__":{"admin":true}}')), 'data.x'],
  ['a key __proto__ with a list that was merged', Object.assign({}, parsed('{"__proto__":[1]}')), 'data.x'],
  ['a key __proto__ that was merged into a list', Object.assign([1], parsed('{"__proto__":{"a":1}}')), 'data.x'],
  ['a key __proto__ of null that was merged into a list', Object.assign([1], parsed('{"__proto__":null}')), 'data.x'],
];

function nested(levels: number): unknown {
  let value: unknown = 'bottom';
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

describe.each(everyBackend())('values come back as they went in, or are refused, on $name', (store) => {
  let service: ServiceUnderTest;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another());
  });

  afterAll(async () => {
    await service.close();
    await store.stop();
  });

  /** By each way in which a value can be given to a session. */
  async function refusals(value: unknown): Promise<SessionDataError[]> {
    const { sessions } = service;
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' }, data: { kept: 1 } });
    session.data.x = value;
    const { session: other } = await sessions.createSession({ user: { userId: 'ann' } });
    other.user!.metadata.x = value;
    const { errors } = await outcomes<unknown>([
      sessions.updateSession(session),
      sessions.updateSession(other),
      sessions.update(session.sessionId, (current) => void (current.data.x = value)),
      sessions.regenerateSessionId(session),
      sessions.createSession({ data: { x: value } }),
      sessions.createSession({ user: { userId: 'ann', metadata: { x: value } } }),
    ]);
    expect((await sessions.getSession(token)).data).toEqual({ kept: 1 });
    expect(await sessions.deleteUserSessions('ann')).toBe(2);
    expect(errors).toHaveLength(6);
    for (const error of errors) expect(error).toBeInstanceOf(SessionDataError);
    return errors as SessionDataError[];
  }

  it.each(refused)('refuses %s as a fault of the application, and names its place', async (_what, value, path) => {
    for (const error of await refusals(value)) {
      expect(error.getStatus()).toBe(500);
      expect(error.getResponse()).toEqual({ statusCode: 500, message: 'Internal Server Error' });
      expect(error.path.replace('user.metadata', 'data')).toContain(value === cycle ? '.self.cycle.self' : path);
    }
  });

  it.each(refusedInput)('refuses %s as a fault of the client, and names its place', async (_what, value, path) => {
    for (const error of await refusals(value)) {
      expect(error.getStatus()).toBe(400);
      expect(error.getResponse()).toEqual({ statusCode: 400, message: 'Bad Request', code: 'DATA_NOT_STORABLE' });
      expect(error.path.replace('user.metadata', 'data').slice(0, 80)).toContain(path.slice(0, 80));
    }
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it.each([
    ['a Date', new Date(0), 'toISOString()'],
    ['an instance of a class', new Item(), '{ ...dto }'],
  ])('says what to store in place of %s', async (_what, value, hint) => {
    for (const { message } of await refusals(value)) {
      expect(message).toContain(hint);
      expect(message.includes('ISO')).toBe(value instanceof Date);
    }
  });

  it('stores -0 as 0, the one value that is changed', async () => {
    const { token, session } = await service.sessions.createSession({ data: { created: -0, list: [-0] } });
    session.data.changed = { lat: parsed('-0') };
    await service.sessions.updateSession(session);
    const { data } = await service.sessions.getSession(token);
    expect(data).toEqual({ created: 0, list: [0], changed: { lat: 0 } });
  });

  it.each([5, 'text', true, null, [], [1], () => 1])('takes no data that is %j, and makes no session', async (data) => {
    const owner = { userId: 'no data' };
    await expect(service.sessions.createSession({ user: owner, data: data as never })).rejects.toMatchObject({
      code: 'USAGE',
      status: 500,
    });
    expect(await service.sessions.listUserSessions(owner.userId)).toEqual([]);
  });

  it('keeps whatever JSON can hold, exactly', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          jsonValue(),
        ),
        async (data) => {
          const { token } = await service.sessions.createSession({ data });
          const loaded = await service.sessions.getSession(token);
          expect(loaded.data).toStrictEqual({ ...data });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps strings of all kinds', async () => {
    const strings = { lone: '\ud800', nul: '\0', line: 'a\nb\r\nc', emoji: '👩‍👩‍👧', sep: '\u2028', quote: '"\\' };
    const { token } = await service.sessions.createSession({ data: strings });
    expect((await service.sessions.getSession(token)).data).toEqual(strings);
  });

  it("keys, categories and user ids that are names of an object's own are plain text", async () => {
    for (const name of ['constructor', 'prototype', 'toString', 'hasOwnProperty', '__proto__']) {
      const { token, session } = await service.sessions.createSession({ user: { userId: name } });
      if (name !== '__proto__') session.data[name] = { polluted: true };
      session.addFlashMessage('hello', name);
      await service.sessions.updateSession(session);
      const loaded = await service.sessions.getSession(token);
      expect(loaded.user?.userId).toBe(name);
      expect(Object.keys(loaded.data)).toEqual(name === '__proto__' ? [] : [name]);
      expect(loaded.getFlashMessages()).toMatchObject([{ category: name }]);
      expect(await service.sessions.deleteUserSessions(name)).toBe(1);
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('refuses what is nested deeper than 100 levels, and keeps what is not', async () => {
    const { session, token } = await service.sessions.createSession({ data: { deep: nested(99) } });
    expect((await service.sessions.getSession(token)).data).toEqual({ deep: nested(99) });
    session.data.deep = nested(10_000);
    await expect(service.sessions.updateSession(session)).rejects.toThrow(SessionDataError);
    expect((await service.sessions.getSession(token)).data).toEqual({ deep: nested(99) });
  });

  it.each<[user: unknown, path: string, status: number]>([
    [{ userId: '' }, 'user.userId', 400],
    [{ userId: 7 }, 'user.userId', 400],
    [{ userId: null }, 'user.userId', 400],
    [{ userId: { $ne: null } }, 'user.userId', 400],
    [{ userId: 'x'.repeat(513) }, 'user.userId', 400],
    [{ userId: 'half \ud800' }, 'user.userId', 400],
    [{ userId: 'a', roles: 'admin' }, 'user.roles', 400],
    [{ userId: 'a', roles: [7] }, 'user.roles', 400],
    [{ userId: 'a', permissions: null }, 'user.permissions', 400],
    [{ userId: 'a', metadata: [] }, 'user.metadata', 400],
    [parsed('{"userId":"a","__proto__":{"roles":["admin"]}}'), 'user', 400],
    ['ann', 'user', 400],
    [['ann'], 'user', 400],
    ['', 'user', 400],
    [0, 'user', 400],
    [{}, 'user.userId', 500],
    [{ userId: undefined }, 'user.userId', 500],
    [{ userId: Symbol('a') }, 'user.userId', 500],
    [{ userId: 'a', since: new Date() }, 'user.since', 500],
    [{ userId: 'a', roles: new Set() }, 'user.roles', 500],
    [() => 'ann', 'user', 500],
  ])('refuses the user %j, and says whose fault it is', async (user, path, status) => {
    const error: unknown = await service.sessions.createSession({ user: user as never }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(SessionDataError);
    expect(error).toMatchObject({ path, status });
  });

  it('refuses what is no user on a session that is there', async () => {
    for (const [change, status] of [
      [(session: Session) => void (session.user!.roles = 'admin' as never), 400],
      [(session: Session) => void Reflect.deleteProperty(session.user!, 'metadata'), 500],
      [(session: Session) => void Object.assign(session.user!, { userId: 'bob' }), 500],
      [(session: Session) => void Object.assign(session.user!, parsed('{"__proto__":{"a":1}}')), 400],
      [(session: Session) => session.addFlashMessage(7 as never), 400],
      [(session: Session) => session.addFlashMessage(undefined as never), 500],
      [(session: Session) => session.addFlashMessage('hello', ['a', 'b'] as never), 400],
    ] as const) {
      const { session } = await service.sessions.createSession({ user: { userId: 'ann' } });
      const update = service.sessions.update(session.sessionId, change);
      await expect(update).rejects.toThrow(SessionDataError);
      await expect(update).rejects.toMatchObject({ status });
    }
  });

  it('spells the place of a value so that no client can write into the log', async () => {
    // With one that turns the direction around, one that is not seen, and one of two units.
    const key = 'a "quote"\n\u001b[31m\u009b31m\u2028\u202e\u200b\u{e0041}';
    const data = { [key]: { ['k'.repeat(10_000)]: Infinity } };
    const error: unknown = await service.sessions.createSession({ data }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(SessionDataError);
    const { message, path } = error as SessionDataError;
    expect(path).toBe(
      `data["a \\"quote\\"\\n\\u001b[31m\\u009b31m\\u2028\\u202e\\u200b\\udb40\\udc41"]["${'k'.repeat(60)}…"]`,
    );
    expect(message).toMatch(/^[\x20-\x7e…]{1,300}$/);
  });

  it('stores what it has checked, whatever the application makes of its objects afterwards', async () => {
    const user = { userId: 'ann', roles: ['editor'], metadata: { tenant: 'one' } as Record<string, unknown> };
    const data: Record<string, unknown> = { cart: [1] };
    const created = service.sessions.createSession({ user, data });
    Object.assign(data, { cart: new Map(), more: 1n });
    user.roles.push('admin');
    Object.assign(user.metadata, { tenant: new Set() });
    const { token } = await created;
    const session = await service.sessions.getSession(token);
    expect(session.data).toEqual({ cart: [1] });
    expect(session.user).toMatchObject({ roles: ['editor'], metadata: { tenant: 'one' } });
  });

  const lists = { roles: ['editor'], permissions: ['posts:write'], metadata: { tenant: 'one' } };

  it.each([
    ['all lists', lists],
    ['none', {}],
    ['all lists and an undefined field', { ...lists, email: undefined }],
  ])('takes an entity with %s for the user, by its properties', async (_, fields) => {
    class UserEntity {
      userId = 'ann';
      username = 'ada';
    }
    const entity = Object.defineProperty(Object.assign(new UserEntity(), fields), 'hidden', { value: new Date() });
    const { token } = await service.sessions.createSession({ user: entity });
    const { user } = await service.sessions.getSession(token);
    const { email, ...stored } = { roles: [], permissions: [], metadata: {}, email: undefined, ...fields };
    expect(email).toBeUndefined();
    expect(user).toStrictEqual({ ...stored, userId: 'ann', username: 'ada' });
  });

  it.each(['roles', 'permissions', 'metadata'])(
    'refuses a user whose %s are null, and does not leave them out',
    async (list) => {
      const user = {
        userId: 'ann',
        roles: [],
        permissions: [],
        metadata: {},
        [list]: null,
      } as unknown as NewSessionUser;
      await expect(service.sessions.createSession({ user })).rejects.toMatchObject({ path: `user.${list}` });
    },
  );

  it('refuses lifetimes that are none', async () => {
    for (const ttl of [0, -1, NaN, Infinity, 1e12]) {
      await expect(service.sessions.createSession({ ttl })).rejects.toMatchObject({ code: 'USAGE' });
    }
  });
});

function jsonValue(): fc.Arbitrary<unknown> {
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: 'binary' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        fc.string().filter((key) => key !== '__proto__'),
        tie('value'),
        { maxKeys: 4, noNullPrototype: true },
      ),
    ),
  })).value;
}
