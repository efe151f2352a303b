import { expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import { MemoryBackend, SessionService } from 'nestjs-sessionx';

import { RequestSessions } from '../../src/requests/request-sessions.js';
import { startApp } from '../support/apps.js';

class Bot {
  say(): void {
    // Nobody calls it.
  }
}

function message(): ExecutionContext {
  const args: unknown[] = [{}];
  return {
    getType: () => 'bot',
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
    return (await requests.ofContext(message()).load()).livingSession?.user?.userId;
  };
  expect(await userOf()).toBe('ann');
  await sessions.deleteUserSessions('ann');
  expect(await userOf()).toBeUndefined();
  found = { token };
  expect(() => requests.ofContext(message())).toThrow('a connection without a message');
  await app.close();
});
