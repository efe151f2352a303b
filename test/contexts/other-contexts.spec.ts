import { Metadata } from '@grpc/grpc-js';
import { describe, expect, it, jest } from '@jest/globals';
import { Logger, type ExecutionContext } from '@nestjs/common';
import { MemoryBackend, SessionService } from 'nestjs-sessionx';

import { GraphqlReader } from '../../src/contexts/graphql.reader.js';
import { RequestSessions } from '../../src/requests/request-sessions.js';
import { startApp } from '../support/apps.js';

class Bot {
  say(): void {
    // Nobody calls it.
  }
}

/** Of a message of `type`, whose handler gets `args`. */
function contextOf(type: string, args: unknown[]): ExecutionContext {
  return {
    getType: () => type,
    getClass: () => Bot,
    getHandler: () => Bot.prototype.say,
    getArgs: () => args,
    getArgByIndex: (index: number) => args[index],
    switchToHttp: () => undefined,
  } as never;
}

it('a message of a connection gets no session that has ended since the first one, and is refused if nothing tells it from others', async () => {
  const request = { headers: {} };
  let found: object = {};
  const read = () => ({ request, response: null, lifetime: 'connection', ...found }) as const;
  const app = await startApp({
    controllers: [],
    session: { backend: new MemoryBackend(), contexts: [{ type: 'bot', read }] },
  });
  const sessions = app.app.get(SessionService);
  const requests = app.app.get(RequestSessions);
  const { token } = await sessions.createSession({ user: { userId: 'ann' } });
  const userOf = async (): Promise<unknown> => {
    found = { token, message: {} };
    return (await requests.ofContext(contextOf('bot', [{}])).load()).livingSession?.user?.userId;
  };
  expect(await userOf()).toBe('ann');
  await sessions.deleteUserSessions('ann');
  expect(await userOf()).toBeUndefined();
  found = { token };
  expect(() => requests.ofContext(contextOf('bot', [{}]))).toThrow('a connection without a message');
  await app.close();
});

describe('A resolver', () => {
  const request = { rawHeaders: [], headers: {} as Record<string, string> };
  const operation = { variableValues: {} };

  it.each<[name: string, args: unknown[]]>([
    ['that is called for a reference of a federated schema', [{ id: 1 }, { req: request }, operation]],
    [
      'whose context has a request that the application has made of what the client has sent',
      [{}, {}, { req: { headers: request.headers } }, operation],
    ],
  ])('%s has the session of its request', async (_name, args) => {
    const app = await startApp({ controllers: [] });
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
    request.headers.authorization = `Bearer ${token}`;
    const { livingSession } = await app.app.get(RequestSessions).ofContext(contextOf('graphql', args)).load();
    expect(livingSession?.user?.userId).toBe('ann');
    await app.close();
  });

  it('has the response by each of the names that applications give it', () => {
    const response = { writeHead: () => undefined };
    for (const context of [
      { req: request, res: response },
      { request, response },
      { request, reply: response },
    ]) {
      const found = new GraphqlReader('x-session-token').read(contextOf('graphql', [{}, {}, context, operation]));
      expect(found).toEqual({ request, response, lifetime: 'request' });
    }
  });

  it('has for each of two modules the token under its own name, which a client has sent once for its connection', () => {
    const upgrade = { ...request, upgrade: true };
    const connectionParams = { 'X-Shop-Token': 'of the shop', 'X-Staff-Token': 'of the staff' };
    const args = [{}, {}, { req: upgrade, connectionParams }, operation];
    const tokens = ['x-shop-token', 'x-staff-token'].map(
      (name) => new GraphqlReader(name).read(contextOf('graphql', args))?.token,
    );
    expect(tokens).toEqual(['of the shop', 'of the staff']);
  });
});

describe('A call by gRPC', () => {
  it.each([
    ['127.0.0.1:40000', '127.0.0.1'],
    ['[2001:db8::1]:40000', '2001:db8::1'],
    ['::1:40000', '::1'],
    ['unix:/run/shop.sock', null],
    ['unknown', null],
  ])('from %s logs in a client with the address %s, without a word', async (peer, address) => {
    const warned = jest.spyOn(Logger.prototype, 'warn');
    const app = await startApp({ controllers: [] });
    const context = contextOf('rpc', [{}, new Metadata(), { getPeer: () => peer }]);
    const { session } = await app.app.get(SessionService).login(context, { userId: 'ann' });
    expect(session.ipAddress).toBe(address);
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
    await app.close();
  });

  it('with two tokens under one name has no session', async () => {
    const app = await startApp({ controllers: [] });
    const { token } = await app.app.get(SessionService).createSession({ user: { userId: 'ann' } });
    const metadata = new Metadata();
    const userOf = async () => {
      const loaded = await app.app
        .get(RequestSessions)
        .ofContext(contextOf('rpc', [{}, metadata.clone(), {}]))
        .load();
      return loaded.livingSession?.user?.userId;
    };
    metadata.add('x-session-token', token);
    expect(await userOf()).toBe('ann');
    metadata.add('x-session-token', 'another');
    expect(await userOf()).toBeUndefined();
    await app.close();
  });
});
