import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SessionDataError } from 'nestjs-sessionx';

import { everyBackend } from '../support/backends.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const cycle: Record<string, unknown> = {};
cycle.self = { cycle };

const refused: [what: string, value: unknown, path: string][] = [
  ['undefined', { a: undefined }, 'data.x.a'],
  ['NaN', [1, NaN], 'data.x[1]'],
  ['Infinity', Infinity, 'data.x'],
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
  ['__proto__', JSON.parse('{"a":{"__proto__":{"admin":true}}}'), 'data.x.a'],
  ['an object of an unnamed class', Object.create(Object.create(null) as object), 'data.x'],
  ['an instance of a class', new URL('http://localhost/'), 'data.x'],
];

describe.each(everyBackend())('P8: values come back as they went in, or are refused, on $name', (store) => {
  let service: ServiceUnderTest;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another());
  });

  afterAll(async () => {
    await service.close();
    await store.stop();
  });

  it.each(refused)(
    'refuses %s and names its place, and the stored session is unchanged',
    async (_what, value, path) => {
      const { token } = await service.sessions.createSession({ data: { kept: 1 } });
      const session = await service.sessions.getSession(token);
      session.data.x = value;
      const error: unknown = await service.sessions.updateSession(session).catch((failure: unknown) => failure);
      expect(error).toBeInstanceOf(SessionDataError);
      expect((error as SessionDataError).path).toMatch(
        path === 'data.x' && value === cycle ? /^data\.x\.self\.cycle/ : path,
      );
      expect((await service.sessions.getSession(token)).data).toEqual({ kept: 1 });
      await expect(service.sessions.createSession({ data: { x: value } })).rejects.toThrow(SessionDataError);
      expect(({} as { admin?: boolean }).admin).toBeUndefined();
    },
  );

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

  it("F18: keys, categories and user ids that are names of an object's own are plain text", async () => {
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

  it('F11: refuses what is nested deeper than 100 levels, and keeps what is not', async () => {
    const nested = (levels: number): unknown => {
      let value: unknown = 'bottom';
      for (let level = 0; level < levels; level++) value = [value];
      return value;
    };
    const { session, token } = await service.sessions.createSession({ data: { deep: nested(99) } });
    expect((await service.sessions.getSession(token)).data).toEqual({ deep: nested(99) });
    session.data.deep = nested(10_000);
    await expect(service.sessions.updateSession(session)).rejects.toThrow(SessionDataError);
    expect((await service.sessions.getSession(token)).data).toEqual({ deep: nested(99) });
  });

  it('refuses a user that cannot be stored, and a user id that is no string', async () => {
    for (const user of [
      { userId: '' },
      { userId: 7 },
      { userId: 'x'.repeat(513) },
      { userId: 'a', roles: 'admin' },
      { userId: 'a', since: new Date() },
      { userId: 'half \ud800' },
    ]) {
      await expect(service.sessions.createSession({ user: user as never })).rejects.toThrow(SessionDataError);
    }
  });

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
