import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger, type Type } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { MemoryBackend, SessionGuard, type SessionModuleOptions, type TokenSerializer } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { printedBy } from '../support/compiled.js';
import { EarlyGuard, Profiles } from './profiles.resolver.js';

interface GraphqlResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly data: Readonly<Record<string, unknown>> | null | undefined;
  readonly errors: readonly { readonly message: string; readonly extensions: object }[];
}

describe.each(PLATFORMS)('GraphQL by Apollo on %s', (platform) => {
  let app: AppUnderTest;
  let store: BarrierBackend;

  async function start(
    session: Partial<SessionModuleOptions> = {},
    guards: Type[] = [EarlyGuard, SessionGuard],
  ): Promise<void> {
    if (session.backend === undefined) store = new BarrierBackend(new MemoryBackend());
    app = await startApp({
      platform,
      controllers: [],
      imports: [
        GraphQLModule.forRoot<ApolloDriverConfig>({
          driver: ApolloDriver,
          autoSchemaFile: true,
          graphiql: false,
          csrfPrevention: false,
          fieldResolverEnhancers: ['guards'],
        }),
      ],
      providers: [Profiles, ...guards.map((guard) => ({ provide: APP_GUARD, useClass: guard }))],
      session: { backend: store.backend, ...session },
    });
  }

  async function send(query: string, headers: Readonly<Record<string, string>> = {}): Promise<GraphqlResponse> {
    const response = await app.fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query }),
    });
    const text = await response.text();
    // Neither the reason of a refusal nor a path of a file is for the client.
    expect(text).not.toMatch(/signed|secretKey|request carries|\.ts/);
    const { data, errors = [] } = JSON.parse(text) as Partial<GraphqlResponse>;
    return { status: response.status, headers: response.headers, data, errors };
  }

  const bearer = async (userId = 'ann') => (await logIn(app.app, { userId })).headers;

  beforeEach(async () => {
    jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await start();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await app.close();
  });

  it('gives resolvers the user of the session', async () => {
    const { data, errors } = await send('{ me { userId } greeting }', await bearer());
    expect([data, errors]).toEqual([{ me: { userId: 'ann' }, greeting: 'Hello ann' }, []]);
  });

  it('reads the session once for fifty guarded fields and several resolvers', async () => {
    const headers = await bearer();
    const before = store.calls.read ?? 0;
    const { data } = await send('{ me { userId } profiles { userId seen } greeting messages }', headers);
    expect((data?.profiles as readonly { seen: string }[])[49]?.seen).toBe('user-49 by ann');
    expect(store.calls.read).toBe(before + 1);
  });

  it.each([
    ['no token', {}, 'UNAUTHENTICATED'],
    ['a forged token', { authorization: 'Bearer forged' }, 'UNAUTHENTICATED'],
  ])('refuses a request with %s, by a code', async (_what, headers, code) => {
    const { data, errors } = await send('{ me { userId } }', headers);
    expect(data?.me).toBeUndefined();
    expect(errors).toEqual([expect.objectContaining({ message: 'Unauthorized' })]);
    expect(errors[0]?.extensions).toMatchObject({ code });
  });

  it('requires roles and a fresh proof of identity, beside resolvers that do not', async () => {
    const [ann, chief] = [await bearer(), (await logIn(app.app, { userId: 'chief', roles: ['admin'] })).headers];
    expect((await send('{ audit codes secret }', chief)).errors).toEqual([]);
    const refusals = async (query: string, headers = {}) =>
      (await send(query, headers)).errors.map(({ extensions }) => extensions);
    expect(await refusals('{ secret audit }', ann)).toMatchObject([{ code: 'FORBIDDEN', reason: 'ROLE_MISSING' }]);
    expect(await refusals('{ audit }')).toMatchObject([{ code: 'UNAUTHENTICATED' }]);
    app.clock.advanceSeconds(301);
    expect(await refusals('{ audit codes }', chief)).toMatchObject([
      { code: 'UNAUTHENTICATED', reason: 'PROOF_TOO_OLD' },
    ]);
    store.fail('read');
    expect(await refusals('{ audit }', chief)).toMatchObject([{ code: 'SERVICE_UNAVAILABLE' }]);
  });

  it('refuses fields by a code, in words that tell no reason', async () => {
    const anybody = (fields: string, headers = {}) => send(`{ anybody { userId ${fields} } }`, headers);
    const refusals = async (fields: string, headers = {}) =>
      (await anybody(fields, headers)).errors.map(({ message, extensions }) => [
        message,
        (extensions as { code: string }).code,
      ]);
    const refused = ['Unauthorized', 'UNAUTHENTICATED'];
    expect(await refusals('session rights seen')).toEqual([refused, refused, refused]);
    expect(await refusals('session rights seen', { authorization: 'Bearer forged' })).toEqual([
      refused,
      refused,
      refused,
    ]);
    const ann = await bearer();
    expect(await refusals('session rights seen', ann)).toEqual([['Forbidden', 'FORBIDDEN']]);
    store.fail('read');
    for (const field of ['session', 'rights', 'seen']) {
      expect(await refusals(field, ann)).toEqual([['Service Unavailable', 'SERVICE_UNAVAILABLE']]);
    }
  });

  it('lets a request without a session reach public resolvers, beside others that are refused', async () => {
    const { data } = await send('{ greeting }');
    expect(data).toEqual({ greeting: 'Hello' });
  });

  it('says that the service is unavailable while the store is down', async () => {
    const headers = await bearer();
    store.fail('read');
    const { data, errors } = await send('{ me { userId } }', headers);
    expect(data?.me).toBeUndefined();
    expect(errors).toEqual([expect.objectContaining({ message: 'Service Unavailable' })]);
    expect(errors[0]?.extensions).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  it('stores what several mutations of one request have changed, at once and before the response', async () => {
    const headers = await bearer();
    const { data } = await send('mutation { a: write(key: "a") b: write(key: "b") }', headers);
    expect(data).toEqual({ a: true, b: true });
    expect(store.calls.replace).toBe(1);
    expect((await send('{ messages }', headers)).data).toEqual({ messages: ['a', 'b'] });
    expect((await send('{ messages }', headers)).data).toEqual({ messages: [] });
  });

  it.each(['write(key: "a")', 'writeWithInterceptor'])(
    'reports no success of %s when it cannot be stored',
    async (mutation) => {
      const headers = await bearer();
      store.fail('replace');
      const { data, errors } = await send(`mutation { ${mutation} }`, headers);
      expect(data ?? null).toBeNull();
      expect(errors).toEqual([expect.objectContaining({ message: 'Service Unavailable' })]);
      expect(errors[0]?.extensions).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    },
  );

  it('reports a value that cannot be stored as an error of the server', async () => {
    const { data, errors } = await send('mutation { unstorable }', await bearer());
    expect(data ?? null).toBeNull();
    expect(errors[0]?.extensions).toMatchObject({ code: 'INTERNAL_SERVER_ERROR' });
  });

  it('logs in and out by mutations', async () => {
    const { data, headers } = await send('mutation { login(userId: "bob") }');
    const token = data?.login as string;
    expect(headers.get('x-session-token')).toBe(token);
    const authorization = `Bearer ${token}`;
    expect((await send('{ me { userId } }', { authorization })).data).toEqual({ me: { userId: 'bob' } });
    expect((await send('mutation { logout }', { authorization })).data).toEqual({ logout: true });
    expect((await send('{ me { userId } }', { authorization })).errors).toHaveLength(1);
  });

  describe('with a cookie', () => {
    const ORIGIN = { 'sec-fetch-site': 'same-origin' };
    const FOREIGN = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };

    const COOKIE: Partial<SessionModuleOptions> = {
      tokenSourcePriority: ['cookie'],
      cookie: { name: 'session', secure: false },
    };

    beforeEach(async () => {
      await app.close();
      await start(COOKIE);
    });

    async function cookieOf(userId: string): Promise<{ cookie: string }> {
      const { headers } = await send(`mutation { login(userId: "${userId}") }`, ORIGIN);
      return { cookie: (headers.getSetCookie()[0] ?? '').split(';', 1)[0] ?? '' };
    }

    it('sets it at a login, and takes it', async () => {
      const cookie = await cookieOf('ann');
      expect((await send('{ me { userId } }', { ...cookie, ...ORIGIN })).data).toEqual({ me: { userId: 'ann' } });
    });

    it.each([
      '{ me { userId } }',
      'mutation { write(key: "a") }',
      'mutation { logout }',
      'mutation { login(userId: "eve") }',
    ])('refuses %s of another site', async (operation) => {
      const cookie = await cookieOf('ann');
      const { data, errors, headers } = await send(operation, { ...cookie, ...FOREIGN });
      expect(Object.values(data ?? {}).filter((value) => value !== null)).toEqual([]);
      expect(errors[0]?.extensions).toMatchObject({ code: 'FORBIDDEN' });
      expect(headers.getSetCookie()).toEqual([]);
    });

    it.each(['{ secret uncheckedQuery }', '{ uncheckedQuery secret }'])(
      '@SkipCsrf() on one query does not skip the check of another one that runs at the same time: %s',
      async (operation) => {
        const cookie = await cookieOf('ann');
        await app.close();
        const simple = new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' });
        const tokenFormat: TokenSerializer = {
          serialize: (claims) => simple.serialize(claims),
          verify: async (token) => {
            await setImmediate();
            return simple.verify(token);
          },
        };
        await start({ ...COOKIE, tokenFormat, backend: store.backend }, [SessionGuard]);
        expect((await send('{ uncheckedQuery }', { ...cookie, ...FOREIGN })).data).toEqual({ uncheckedQuery: true });
        const { data, errors } = await send(operation, { ...cookie, ...FOREIGN });
        expect(data?.secret).toBeUndefined();
        expect(errors[0]?.extensions).toMatchObject({ code: 'FORBIDDEN' });
      },
    );

    it.each(['mutation { unchecked a: write(key: "a") }', 'mutation { a: write(key: "a") unchecked }'])(
      '@SkipCsrf() on one mutation does not skip the check of another one: %s',
      async (operation) => {
        const cookie = await cookieOf('ann');
        expect((await send('mutation { unchecked }', { ...cookie, ...FOREIGN })).data).toEqual({ unchecked: true });
        const { errors } = await send(operation, { ...cookie, ...FOREIGN });
        expect(errors.map(({ extensions }) => extensions)).toContainEqual(
          expect.objectContaining({ code: 'FORBIDDEN' }),
        );
        expect((await send('{ messages }', { ...cookie, ...ORIGIN })).data).toEqual({ messages: [] });
      },
    );
  });
});

describe('GraphQL by Mercurius on Fastify', () => {
  it('does the same', async () => {
    const script = join(import.meta.dirname, 'mercurius.process.ts');
    expect(await printedBy(script)).toEqual({
      user: { data: { me: { userId: 'ann' }, greeting: 'Hello ann' }, codes: [] },
      readsOfFiftyFields: 1,
      withoutToken: { data: null, codes: ['UNAUTHENTICATED'] },
      guest: { data: { greeting: 'Hello' }, codes: [] },
      written: { data: { a: true, b: true }, codes: [] },
      messages: { data: { messages: ['a', 'b'] }, codes: [] },
      notStored: { data: null, codes: ['SERVICE_UNAVAILABLE'] },
      notRead: { data: null, codes: ['SERVICE_UNAVAILABLE'] },
      loggedIn: { data: { me: { userId: 'bob' }, greeting: 'Hello bob' }, codes: [] },
      loggedOut: { data: { logout: true }, codes: [] },
      afterLogout: { data: null, codes: ['UNAUTHENTICATED'] },
    });
  });
});
