import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import { MemoryBackend, SessionEvents, SessionService } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { once } from 'node:events';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { printedBy } from '../support/compiled.js';
import { soon } from '../support/soon.js';
import { Feed } from './feed.resolver.js';
import { feedClient, type FeedClient, type Result } from './subscriptions.js';

interface WsContext {
  readonly req?: object;
  readonly extra: { readonly request: object };
  readonly connectionParams: object;
}

/** What applications make of the context. */
const CONTEXTS = {
  'as Nest makes it': undefined,
  'with the request': ({ req, extra, connectionParams }: WsContext) => ({
    req: req ?? extra.request,
    connectionParams,
  }),
  'of graphql-ws': (context: WsContext) => context,
};

const CASES = [
  { platform: 'express', made: 'as Nest makes it' },
  { platform: 'express', made: 'of graphql-ws' },
  { platform: 'fastify', made: 'with the request' },
] as const;

describe.each(CASES)('GraphQL over WebSockets by Apollo on $platform, in a context $made', ({ platform, made }) => {
  const store = new BarrierBackend(new MemoryBackend());
  const clients: FeedClient[] = [];
  let app: AppUnderTest;

  const open = (params: object = {}, headers = {}): FeedClient => {
    const client = feedClient(app.url, params, headers);
    clients.push(client);
    return client;
  };
  const tokenOf = async (userId = 'ann') => (await logIn(app.app, { userId })).token;
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
  const sessionOf = (token: string) => app.app.get(SessionService).getSession(token);
  const end = async (token: string) => app.app.get(SessionService).deleteSession(await sessionOf(token));
  const codes = ({ errors = [] }: Result) => errors.map(({ extensions }) => extensions?.code);
  /** Publishes until somebody gets it: a subscription begins at a moment that the client is not told. */
  const next = async (results: AsyncIterator<Result>, text = 'news'): Promise<IteratorResult<Result>> => {
    const timer = setInterval(() => {
      app.app.get(Feed).publish(text);
    }, 5);
    try {
      return await results.next();
    } finally {
      clearInterval(timer);
    }
  };

  beforeAll(async () => {
    const context: unknown = CONTEXTS[made];
    app = await startApp({
      platform,
      controllers: [],
      imports: [
        GraphQLModule.forRoot<ApolloDriverConfig>({
          driver: ApolloDriver,
          autoSchemaFile: true,
          graphiql: false,
          fieldResolverEnhancers: ['guards', 'filters'],
          subscriptions: { 'graphql-ws': true },
          ...(context === undefined ? {} : { context }),
        }),
      ],
      providers: [Feed],
      session: {
        backend: store.backend,
        tokenSourcePriority: ['header', 'bearer', 'cookie'],
        cookie: { name: 'session', secure: false },
      },
    });
  });
  afterEach(() => {
    store.heal();
    jest.restoreAllMocks();
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(() => app.close());

  it.each([
    ['authorization', (token: string) => ({ authorization: `Bearer ${token}` })],
    ['AUTHORIZATION', (token: string) => ({ AUTHORIZATION: `bearer ${token}` })],
    ['X-Session-Token', (token: string) => ({ 'X-Session-Token': token })],
    ['headers', (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })],
    ['authorization beside an empty header', (token: string) => ({ 'X-Session-Token': '', ...bearer(token) })],
  ])('gives resolvers the user of a token that the client sends as %s', async (_name, params) => {
    const client = open(params(await tokenOf()));
    expect(await client.send('{ me greeting }')).toEqual({ data: { me: 'ann', greeting: 'ann' } });
    const results = client.subscribe('subscription { news { text reader } }');
    expect((await next(results)).value).toEqual({ data: { news: { text: 'news', reader: 'ann reads news' } } });
    await results.return?.();
  });

  it.each([
    ['no token', {}, 'TOKEN_MISSING'],
    ['a forged token', bearer('forged'), 'TOKEN_MALFORMED'],
    ['a scheme alone', { authorization: 'Bearer' }, 'TOKEN_MALFORMED'],
    ['no text', { authorization: 7, 'x-session-token': {} }, 'TOKEN_MISSING'],
    ['another scheme', { authorization: 'Basic YTpi' }, 'TOKEN_MISSING'],
  ])('refuses a subscription with %s, by a code', async (_what, params, reason) => {
    const rejected: string[] = [];
    const rejections = app.app
      .get(SessionEvents)
      .on('rejected')
      .subscribe((event) => rejected.push(event.reason));
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const client = open(params);
    const refused = await client.send('subscription { news { text } }');
    expect(codes(refused)).toEqual(['UNAUTHENTICATED']);
    expect(JSON.stringify(refused)).not.toMatch(/token|secret/);
    expect(codes(await client.send('{ me }'))).toEqual(['UNAUTHENTICATED']);
    expect(await client.send('{ greeting }')).toEqual({ data: { greeting: 'visitor' } });
    rejections.unsubscribe();
    expect(rejected[0]).toBe(reason);
  });

  it('stores what resolvers have changed before their result', async () => {
    const token = await tokenOf();
    const client = open(bearer(token));
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => client.send(`mutation { write(key: "${key}") }`)));
    expect(await client.send('mutation { a: write(key: "a") b: write(key: "b") }')).toEqual({
      data: { a: 'a', b: 'b' },
    });
    expect(await client.send('mutation { writeByContext }')).toEqual({ data: { writeByContext: 'ann' } });
    const results = client.subscribe('subscription { news { text } }');
    await next(results);
    await results.return?.();
    const { data } = await sessionOf(token);
    expect(Object.keys(data).sort()).toEqual([...keys, 'a', 'b', 'byContext', 'subscribed'].sort());
    store.fail('replace');
    expect(codes(await client.send('mutation { write(key: "c") }'))).toEqual(['SERVICE_UNAVAILABLE']);
  });

  it('puts back the flash messages that a resolver has taken whose client leaves', async () => {
    const token = await tokenOf();
    const sessions = app.app.get(SessionService);
    const { sessionId } = await sessionOf(token);
    await sessions.update(sessionId, (one) => one.addFlashMessage('saved'));
    const server = app.app.getHttpServer() as Server;
    const connections = () => promisify(server.getConnections.bind(server))();
    const client = open(bearer(token));
    const { events } = app.app.get(Feed);
    const arrived = once(events, 'arrived');
    void client.send('mutation { takes }').catch(() => undefined);
    await arrived;
    const before = await connections();
    client.close();
    await soon(async () => (await connections()) < before || undefined);
    events.emit('go');
    await soon(async () => {
      const messages = (await sessions.update(sessionId, () => undefined)).getFlashMessages();
      return messages.length > 0 || undefined;
    });
  });

  it('looks the session up for each operation and each event', async () => {
    const token = await tokenOf();
    const client = open(bearer(token));
    expect(await client.send('{ me }')).toEqual({ data: { me: 'ann' } });
    const before = store.calls.read ?? 0;
    await client.send('{ a: me b: me greeting }');
    expect((store.calls.read ?? 0) - before).toBe(1);
    const results = client.subscribe('subscription { publicNews { reader } }');
    expect((await next(results)).value).toEqual({ data: { publicNews: { reader: 'ann reads news' } } });
    store.fail('read');
    // Events may be on their way that were read before.
    let seen: unknown[] = [];
    while (seen.length === 0) seen = codes((await next(results)).value as Result);
    expect(seen).toEqual(['SERVICE_UNAVAILABLE']);
    expect(codes(await client.send('{ me }'))).toEqual(['SERVICE_UNAVAILABLE']);
    store.heal();
    await end(token);
    expect(codes(await client.send('{ me }'))).toEqual(['UNAUTHENTICATED']);
  });

  it('completes a subscription when its session ends', async () => {
    const [ann, bob] = [await tokenOf(), await tokenOf('bob')];
    const [ofAnn, ofBob] = [ann, bob].map((token) => open(bearer(token)).subscribe('subscription { news { text } }'));
    if (ofAnn === undefined || ofBob === undefined) throw new Error('two were opened');
    expect([(await next(ofAnn)).done, (await next(ofBob)).done]).toEqual([false, false]);
    await end(ann);
    let last = await ofAnn.next();
    while (last.done !== true) last = await ofAnn.next();
    expect((await next(ofBob)).done).toBe(false);
    await ofBob.return?.();
  });

  it('signs a connection in and out, and returns the token', async () => {
    const client = open();
    const token = String((await client.send('mutation { login(userId: "bob") }')).data?.login);
    expect((await sessionOf(token)).user?.userId).toBe('bob');
    expect(await client.send('{ me }')).toEqual({ data: { me: 'bob' } });
    expect(await client.send('mutation { logout }')).toEqual({ data: { logout: true } });
    expect(codes(await client.send('{ me }'))).toEqual(['UNAUTHENTICATED']);
    const signedIn = open(bearer(await tokenOf()));
    expect(await signedIn.send('{ me }')).toEqual({ data: { me: 'ann' } });
    expect(await signedIn.send('mutation { logout }')).toEqual({ data: { logout: true } });
    expect(codes(await signedIn.send('{ me }'))).toEqual(['UNAUTHENTICATED']);
  });

  it('opens no connection for a page of another origin with the cookie of the user', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const headers = { cookie: `session=${await tokenOf()}` };
    const own = open({}, { ...headers, origin: app.url });
    expect(await own.send('{ me }')).toEqual({ data: { me: 'ann' } });
    const foreign = open({}, { ...headers, origin: 'https://evil.example' });
    await expect(foreign.send('{ me }')).rejects.toMatchObject({ message: expect.stringContaining('403') });
  });
});

describe('GraphQL over WebSockets by Mercurius on Fastify', () => {
  it('does the same', async () => {
    const script = join(import.meta.dirname, 'mercurius-subscriptions.process.ts');
    expect(await printedBy(script)).toEqual({
      query: { data: { me: 'ann' } },
      mutation: { data: { write: 'a' } },
      byContext: { data: { writeByContext: 'ann' } },
      refused: ['UNAUTHENTICATED'],
      refusedSubscription: ['UNAUTHENTICATED'],
      event: { data: { news: { text: 'news', reader: 'ann reads news' } } },
      data: ['a', 'byContext', 'subscribed'],
      completed: true,
      login: 'string',
      loggedIn: { data: { me: 'bob' } },
      cookie: { data: { me: 'eve' } },
      foreign: expect.stringContaining('403'),
    });
  });
});
