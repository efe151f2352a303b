import { credentials, loadPackageDefinition, Metadata, status, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Catch, Controller, Logger, UseFilters, type ExceptionFilter, type INestMicroservice } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, RpcException, Transport, type ClientProxy } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  CurrentSession,
  CurrentUser,
  MemoryBackend,
  SessionError,
  SessionGuard,
  SessionModule,
  SessionService,
  type ContextReader,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';
import { join } from 'node:path';
import { firstValueFrom, lastValueFrom, tap, throwError, toArray } from 'rxjs';

import { root } from '../docs/pages.js';
import { PLATFORMS, SECRET_KEY, startApp, type AppUnderTest } from '../support/apps.js';
import { BarrierBackend } from '../support/barrier-backend.js';
import { freePort } from '../support/processes.js';
import { Accounts, TcpDesk } from './accounts.controller.js';

const GRPC = { package: 'accounts', protoPath: join(root, 'test', 'contexts', 'accounts.proto') };

interface Text {
  readonly text: string;
}

type Callback = (error: ServiceError | null, value?: Text) => void;

/** The client that is made from the file, whose methods have types that say nothing. */
type AccountsClient = Client & Record<string, (...args: unknown[]) => unknown>;

function accountsAt(port: number): AccountsClient {
  const { accounts } = loadPackageDefinition(loadSync(GRPC.protoPath)) as unknown as {
    readonly accounts: { readonly Accounts: new (address: string, credentials: unknown) => AccountsClient };
  };
  return new accounts.Accounts(`127.0.0.1:${port}`, credentials.createInsecure());
}

/** The token and the text of a message by TCP, where the application has decided that it goes there. */
const tcpReader: ContextReader = {
  type: 'rpc',
  read: (context) => {
    const message = context.getArgByIndex<unknown>(0);
    if (typeof message !== 'object' || message === null || !('token' in message)) return null;
    return { request: {}, response: null, lifetime: 'request', token: message.token as string };
  },
};

const httpReader: ContextReader = {
  type: 'http',
  read: (context) => {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
    const response = context.switchToHttp().getResponse<object>();
    const read = { request, response, lifetime: 'request' } as const;
    if (request.headers.odd === undefined) return null;
    return request.headers.odd === 'token' ? { ...read, token: 'x' } : read;
  },
};

describe.each(PLATFORMS)('Microservices of an application on %s', (platform) => {
  const store = new BarrierBackend(new MemoryBackend());
  const ports = { grpc: 0, tcp: 0 };
  let app: AppUnderTest;
  let client: AccountsClient;
  let tcp: ClientProxy;

  const call = (method: string, text = '', metadata = new Metadata()): Promise<string> =>
    new Promise((resolve, reject) => {
      const done: Callback = (error, value) => {
        if (error !== null) reject(error);
        else resolve(value?.text ?? '');
      };
      client[method]?.({ text }, metadata, done);
    });
  const refusal = async (method: string, metadata?: Metadata): Promise<unknown> => {
    const error = (await call(method, 'x', metadata).catch((reason: unknown) => reason)) as ServiceError;
    return [error.code, error.details];
  };
  const send = (pattern: string, message: object): Promise<unknown> => firstValueFrom(tcp.send(pattern, message));
  const tokenOf = async (userId = 'ann', more = {}) => (await logIn(app.app, { userId, ...more })).token;
  const bearer = (token: string) => {
    const metadata = new Metadata();
    metadata.set('Authorization', `Bearer ${token}`);
    return metadata;
  };
  const dataOf = async (token: string) => Object.keys((await app.app.get(SessionService).getSession(token)).data);

  beforeAll(async () => {
    Object.assign(ports, { grpc: await freePort(), tcp: await freePort() });
    app = await startApp({
      platform,
      controllers: [Accounts, TcpDesk],
      session: { backend: store.backend, contexts: [tcpReader, httpReader] },
      configure: async (nest) => {
        const inheritAppConfig = platform === 'fastify';
        nest.connectMicroservice(
          { transport: Transport.GRPC, options: { ...GRPC, url: `127.0.0.1:${ports.grpc}` } },
          { inheritAppConfig },
        );
        nest.connectMicroservice(
          { transport: Transport.TCP, options: { host: '127.0.0.1', port: ports.tcp } },
          { inheritAppConfig },
        );
        await nest.startAllMicroservices();
      },
    });
    client = accountsAt(ports.grpc);
    tcp = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port: ports.tcp } });
  });
  afterEach(() => {
    store.heal();
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    client.close();
    await tcp.close();
    await app.close();
  });

  it('gives gRPC handlers the user of a token in the metadata', async () => {
    const token = await tokenOf();
    const named = new Metadata();
    named.set('x-session-token', token);
    expect(await call('WhoAmI', '', bearer(token))).toBe('ann');
    expect(await call('WhoAmI', '', named)).toBe('ann');
    expect([await call('Greet'), await call('Greet', '', named)]).toEqual(['Hello visitor', 'Hello ann']);
  });

  it('looks at each gRPC call anew, whatever object the client uses for it', async () => {
    const metadata = bearer(await tokenOf('ann'));
    expect(await call('WhoAmI', '', metadata)).toBe('ann');
    metadata.set('authorization', `Bearer ${await tokenOf('bob')}`);
    expect(await call('WhoAmI', '', metadata)).toBe('bob');
    expect(await call('Logout', '', metadata)).toBe('true');
    expect(await refusal('WhoAmI', metadata)).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
  });

  it('refuses gRPC calls by a status, and tells no reason', async () => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const token = await tokenOf();
    const two = new Metadata();
    two.add('x-session-token', token);
    two.add('x-session-token', await tokenOf('bob'));
    expect(await refusal('WhoAmI')).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
    expect(await refusal('WhoAmI', bearer('forged'))).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
    expect(await refusal('WhoAmI', two)).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
    expect(await refusal('Audit', bearer(token))).toEqual([status.PERMISSION_DENIED, 'Forbidden']);
    expect(await call('Audit', '', bearer(await tokenOf('eve', { roles: ['admin'] })))).toBe('for administrators');
    store.fail('read');
    expect(await refusal('WhoAmI', bearer(token))).toEqual([status.UNAVAILABLE, 'Service Unavailable']);
  });

  it('stores what a gRPC call has changed before its result, also if the handler throws', async () => {
    jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const token = await tokenOf();
    expect(await call('Write', 'a', bearer(token))).toBe('a');
    await call('WriteThenFail', 'b', bearer(token)).catch(() => undefined);
    expect(await call('Written', '', bearer(token))).toBe('a,b a');
    expect(await call('Written', '', bearer(token))).toBe('a,b ');
    store.fail('replace');
    expect(await refusal('Write', bearer(token))).toEqual([status.UNAVAILABLE, 'Service Unavailable']);
    store.heal();
    expect(await dataOf(token)).toEqual(['a', 'b']);
  });

  it('signs in and out by the metadata, and returns the token', async () => {
    const token = await call('Login', 'ann');
    expect([await call('WhoAmI', '', bearer(token)), await dataOf(token)]).toEqual(['ann', ['a']]);
    const other = await call('LoginByMetadata', 'bob', bearer(token));
    expect(await call('WhoAmI', '', bearer(other))).toBe('bob');
    expect(await refusal('WhoAmI', bearer(token))).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
    expect(await call('Logout', '', bearer(other))).toBe('true');
    expect(await refusal('WhoAmI', bearer(other))).toEqual([status.UNAUTHENTICATED, 'Unauthorized']);
  });

  it('hands out a one-time value once', async () => {
    const sessions = app.app.get(SessionService);
    const token = await tokenOf();
    await sessions.oneTime.put(await sessions.getSession(token), 'oauth-state', 'value');
    expect([await call('Once', '', bearer(token)), await call('Once', '', bearer(token))]).toEqual(['"value"', 'null']);
  });

  it('works for gRPC streams of either side', async () => {
    const token = await tokenOf();
    const texts = (stream: unknown): Promise<unknown[]> =>
      new Promise((resolve) => {
        const seen: unknown[] = [];
        (stream as NodeJS.ReadableStream)
          .on('data', ({ text }: Text) => seen.push(text))
          .on('error', ({ code }: ServiceError) => {
            resolve([...seen, code]);
          })
          .on('end', () => {
            resolve(seen);
          });
      });
    expect(await texts(client.Count?.({}, bearer(token)))).toEqual(['one', 'two']);
    expect(await dataOf(token)).toEqual(['counted']);
    expect(await texts(client.Count?.({}, new Metadata()))).toEqual([status.UNAUTHENTICATED]);
    const collect = (metadata: Metadata): Promise<unknown> =>
      new Promise((resolve) => {
        const stream = client.Collect?.(metadata, (error: ServiceError | null, value?: Text) => {
          resolve(error?.details ?? value?.text);
        }) as NodeJS.WritableStream & { write(value: Text): void };
        stream.write({ text: 'a' });
        stream.write({ text: 'b' });
        stream.end();
      });
    expect(await collect(bearer(token))).toBe('ab by ann');
    expect(await collect(new Metadata())).toBe('Unauthorized');
    const pass = client.Pass?.(bearer(token)) as NodeJS.ReadWriteStream & { write(value: Text): void };
    pass.write({ text: 'a' });
    expect(await texts(pass)).toEqual(['a of ann']);
  });

  it('reads messages of TCP as the application says, beside HTTP routes of the same controller', async () => {
    const token = await tokenOf();
    const headers = { authorization: `Bearer ${token}` };
    expect(await send('me', { token })).toEqual({ text: 'ann' });
    expect(await send('both', { token })).toEqual({ text: 'ann' });
    for (const path of ['/desk', '/desk/both']) {
      expect(await (await app.fetch(path, { headers })).json()).toEqual({ text: 'ann' });
      expect((await app.fetch(path)).status).toBe(401);
    }
    expect(await send('inherited', { token })).toBe('ann');
    expect(await send('maybe', { token: null })).toBe('visitor');
    expect(await lastValueFrom(tcp.send('count', { token }).pipe(toArray()))).toEqual(['ann 1', 'ann 2']);
    const endOf = tcp.send<string>('watch', { token }).pipe(
      tap(() => void app.app.get(SessionService).deleteUserSessions('ann')),
      toArray(),
    );
    expect(await lastValueFrom(endOf)).toEqual(['ann']);
  });

  it('asks a reader of the application for HTTP requests too, which cannot bring a token of its own', async () => {
    jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const headers = { authorization: `Bearer ${await tokenOf()}` };
    const get = (odd: string) => app.fetch('/desk', { headers: { ...headers, odd } });
    expect(await (await get('request')).json()).toEqual({ text: 'ann' });
    expect((await get('token')).status).toBe(500);
  });

  it('keeps apart messages of several users by one connection', async () => {
    const tokens = await Promise.all(['ann', 'bob', 'eve'].map((userId) => tokenOf(userId)));
    const replies = await Promise.all([...tokens, ...tokens].map((token) => send('me', { token })));
    expect(replies.map((reply) => (reply as Text).text)).toEqual(['ann', 'bob', 'eve', 'ann', 'bob', 'eve']);
    const [token = ''] = tokens;
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => send('set', { token, key })));
    expect((await dataOf(token)).sort()).toEqual([...keys].sort());
  });

  it.each([
    ['null', null],
    ['an empty token', ''],
    ['a forged token', 'forged'],
    ['a number', 7],
    ['an object', { toString: 1 }],
    ['a long text', 'x'.repeat(5000)],
  ])('refuses a message by TCP with %s for a token, in words that tell no reason', async (_what, token) => {
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const told = { status: 'error', code: 'UNAUTHENTICATED', statusCode: 401, message: 'Unauthorized' };
    await expect(send('me', { token })).rejects.toEqual(told);
  });

  it('signs in and out by the context of a message, and returns the token', async () => {
    const token = String(await send('login', { token: null }));
    expect(await send('maybe', { token })).toBe('ann');
    expect(await send('logout', { token })).toBe(true);
    await expect(send('me', { token })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    store.fail('read');
    await expect(send('me', { token })).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE', statusCode: 503 });
  });

  it('stores what the handler of an event has changed', async () => {
    const token = await tokenOf();
    tcp.emit('noted', { token });
    await send('me', { token });
    expect(await dataOf(token)).toEqual(['noted']);
    expect(app.app.get(TcpDesk).events).toEqual(['ann']);
  });
});

/** Everything by TCP of these applications comes by one connection, as with a broker. */
const broker = {};
const shared = {};

const READS: Readonly<Record<string, (token: string) => unknown>> = {
  nothing: () => undefined,
  'no object': () => 'a token',
  'a promise': () => Promise.reject(new Error('no such client')),
  'no request': (token) => ({ token, response: null, lifetime: 'request' }),
  'no lifetime': (token) => ({ request: {}, token, response: null }),
  'a response that is none': (token) => ({ request: {}, token, response: 'none', lifetime: 'request' }),
  'a connection that is none': (token) => ({ request: {}, token, lifetime: 'connection', connection: 1 }),
  'an error': () => {
    throw new TypeError('Cannot read properties of undefined');
  },
  'an error for the client': () => {
    throw new RpcException('no such thing');
  },
  headers: (token) => ({
    request: { headers: { Authorization: [Buffer.from(`Bearer ${token}`)], n: 1 } },
    response: null,
    lifetime: 'request',
  }),
  'odd headers': () => ({
    request: { headers: { authorization: { length: 1 } } },
    response: null,
    lifetime: 'request',
  }),
  'no headers': (token) => ({ request: { headers: null }, token, response: null, lifetime: 'request' }),
  'one connection': (token) => ({ request: {}, token, lifetime: 'connection', connection: broker }),
  'headers of one connection': (token) => ({
    request: { headers: { 'X-Session-Token': token } },
    lifetime: 'connection',
    connection: broker,
  }),
  'a connection of its own': (token) => ({ request: {}, token, lifetime: 'connection' }),
  'one message': (token) => ({ request: {}, token, response: null, lifetime: 'request', message: shared }),
};

const oddReader: ContextReader = {
  type: 'rpc',
  read: (context) => {
    const { read, token } = context.getArgByIndex<{ read: string; token: string }>(0);
    return READS[read]?.(token) as ReturnType<ContextReader['read']>;
  },
};

@Catch(SessionError)
class OwnFilter implements ExceptionFilter {
  catch(error: SessionError): unknown {
    return throwError(() => ({ own: error.code }));
  }
}

class Rooms {
  @MessagePattern('room')
  room(@CurrentUser() { userId }: SessionUser, @CurrentSession() session: Session): string {
    (session.data as Record<string, unknown>)[userId] = true;
    return userId;
  }

  @UseFilters(OwnFilter)
  @MessagePattern('own')
  own(@CurrentUser() { userId }: SessionUser): string {
    return userId;
  }
}

@Controller()
class BlueRooms extends Rooms {}

describe('Two microservices without HTTP, which have the same handlers', () => {
  const apps: { readonly app: INestMicroservice; readonly client: ClientProxy }[] = [];

  async function start(): Promise<void> {
    const testing = await Test.createTestingModule({
      imports: [SessionModule.forRoot({ secretKey: SECRET_KEY, backend: new MemoryBackend(), contexts: [oddReader] })],
      controllers: [BlueRooms],
      providers: [{ provide: APP_GUARD, useClass: SessionGuard }],
    }).compile();
    const options = { host: '127.0.0.1', port: await freePort() };
    const app = testing.createNestMicroservice({ transport: Transport.TCP, options, logger: false });
    await app.listen();
    apps.push({ app, client: ClientProxyFactory.create({ transport: Transport.TCP, options }) });
  }

  const send = (index: number, pattern: string, read: string, token: unknown): Promise<unknown> =>
    firstValueFrom((apps[index] as { client: ClientProxy }).client.send(pattern, { read, token }));
  const issue = (index: number, userId: string) =>
    (apps[index] as { app: INestMicroservice }).app.get(SessionService).createSession({ user: { userId } });

  beforeAll(async () => {
    await start();
    await start();
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    for (const { app, client } of apps) {
      await client.close();
      await app.close();
    }
  });

  it('have each its own sessions', async () => {
    for (const index of [0, 1]) {
      const { token, session } = await issue(index, `user-${index}`);
      expect(await send(index, 'room', 'headers', token)).toBe(`user-${index}`);
      const service = (apps[index] as { app: INestMicroservice }).app.get(SessionService);
      expect((await service.getSession(token)).data).toEqual({ [`user-${index}`]: true });
      expect(session.sessionId).toBeDefined();
      await expect(send(1 - index, 'room', 'headers', token)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
  });

  it.each([
    'headers',
    'no headers',
    'one connection',
    'headers of one connection',
    'a connection of its own',
    'one message',
  ])('give a user no session of another, by a reader of %s', async (read) => {
    const [ann, bob] = [await issue(0, 'ann'), await issue(0, 'bob')];
    for (const [userId, { token }] of [
      ['ann', ann],
      ['bob', bob],
      ['ann', ann],
    ] as const) {
      expect(await send(0, 'room', read, token)).toBe(userId);
    }
    await apps[0]?.app.get(SessionService).deleteSession(bob.session.sessionId);
    await expect(send(0, 'room', read, bob.token)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    const { data } = (await apps[0]?.app.get(SessionService).getSession(ann.token))!;
    expect(data).toEqual({ ann: true });
  });

  it.each([
    ['nothing', 'returned nothing'],
    ['no object', 'returned no object'],
    ['a promise', 'returned a promise'],
    ['no request', 'returned no request'],
    ['no lifetime', 'returned a lifetime'],
    ['a response that is none', 'returned a response'],
    ['a connection that is none', 'returned a connection'],
    ['an error', 'has thrown: "Cannot read'],
  ])('log what is wrong with a reader of %s, and tell clients nothing of it', async (read, fault) => {
    const logged = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    // One would end the process.
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    const told = { status: 'error', code: 'INTERNAL_SERVER_ERROR', statusCode: 500, message: 'Internal Server Error' };
    await expect(send(0, 'room', read, (await issue(0, 'ann')).token)).rejects.toEqual(told);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
    expect(logged.mock.calls.map(([line]) => String(line)).join()).toContain(fault);
  });

  it('let clients know what a reader has thrown for them', async () => {
    await expect(send(0, 'room', 'an error for the client', 'x')).rejects.toMatchObject({ message: 'no such thing' });
    await expect(send(0, 'room', 'odd headers', 'x')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('let filters of the application come first', async () => {
    await expect(send(0, 'own', 'no headers', 'x')).rejects.toEqual({ own: 'TOKEN_MALFORMED' });
  });
});
