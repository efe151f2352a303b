import { expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { MemoryBackend, SessionEvents } from 'nestjs-sessionx';
import { filter, map } from 'rxjs';

import { startService } from '../support/services.js';

it('tell what happens, with the exact reason, and never a token', async () => {
  const { sessions, events, clock, close } = await startService(new MemoryBackend());
  const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
  await sessions.renewSession(token);
  clock.advanceSeconds(10);
  await sessions.renewSession(token);
  const { session: fresh } = await sessions.regenerateSessionId(session);
  await sessions.getSession(token, { ipAddress: '192.0.2.1' }).catch(() => undefined);
  await sessions.getSession('forged').catch(() => undefined);
  await sessions.deleteSession(fresh.sessionId);
  await sessions.createSession({ user: { userId: 'ann' } });
  await sessions.deleteUserSessions('ann');

  expect(events.map((event) => ('reason' in event ? `${event.type}: ${event.reason}` : event.type))).toEqual([
    'created',
    'renewed',
    'regenerated',
    'rejected: SESSION_NOT_FOUND',
    'rejected: TOKEN_MALFORMED',
    'ended: deleted',
    'created',
    'ended: logout-everywhere',
  ]);
  expect(events[2]).toMatchObject({ previousSessionId: session.sessionId, sessionId: fresh.sessionId, userId: 'ann' });
  expect(events[3]).toMatchObject({ sessionId: session.sessionId, ipAddress: '192.0.2.1', at: clock.now() });
  expect(JSON.stringify(events)).not.toContain(token.slice(16, 48));
  await close();
});

it('a listener that throws, or an operator of it, harms neither the request, nor the process, nor other listeners', async () => {
  const { context, sessions, close } = await startService(new MemoryBackend());
  const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
  const uncaught = jest.fn();
  process.on('uncaughtException', uncaught);
  process.on('unhandledRejection', uncaught);
  const received: string[] = [];
  const throwing = () => {
    throw new Error('a bug of the listener');
  };
  const events = context.get(SessionEvents);
  events.all.subscribe(throwing);
  events.all.subscribe({ next: throwing });
  events.on('created').pipe(map(throwing)).subscribe();
  events
    .on('created')
    .pipe(
      filter(() => true),
      map(({ type }) => type),
    )
    .subscribe(throwing);
  events.on('created').subscribe(({ type }) => received.push(type));

  events.on('created').subscribe(() => Promise.reject(new Error('a bug of an async listener')) as never);

  await sessions.createSession();
  await sessions.createSession();
  // RxJS would rethrow in a timer of 0 ms; a later timer sees whether it has.
  await new Promise((resolve) => setTimeout(resolve, 5));

  expect(received).toEqual(['created', 'created']);
  expect(uncaught).not.toHaveBeenCalled();
  expect(error).toHaveBeenCalled();
  process.off('uncaughtException', uncaught);
  process.off('unhandledRejection', uncaught);
  error.mockRestore();
  await close();
});

it('a listener that is an object is called as its method, with the error of an operator too', async () => {
  const { context, sessions, close } = await startService(new MemoryBackend());
  class Listener {
    readonly seen: string[] = [];
    next(type: string): void {
      this.seen.push(type);
    }
    error(error: Error): void {
      this.seen.push(error.message);
    }
    complete(): void {
      this.seen.push('complete');
    }
  }
  const [failing, ending] = [new Listener(), new Listener()];
  const types = context.get(SessionEvents).all.pipe(map(({ type }) => type));
  const failAtEnd = map((type: string) => {
    if (type === 'ended') throw new Error('a bug of an operator');
    return type;
  });
  types.pipe(failAtEnd).subscribe(failing);
  types.subscribe(ending);
  const { session } = await sessions.createSession();
  await sessions.deleteSession(session);
  await close();
  expect([failing.seen, ending.seen]).toEqual([
    ['created', 'a bug of an operator'],
    ['created', 'ended', 'complete'],
  ]);
});

it('the reasons of refused tokens are in the log too, a line a second for each, with nothing that a client sent', async () => {
  const { sessions, clock, close } = await startService(new MemoryBackend());
  const lines: string[] = [];
  const debug = jest.spyOn(Logger.prototype, 'debug').mockImplementation((line) => void lines.push(String(line)));
  const { session, token } = await sessions.createSession();
  const hostile = '\u001b[31m\r\nERROR all is lost';
  for (let flood = 0; flood < 10_000; flood++) {
    await sessions.getSession(`${token.slice(0, 57)}${'A'.repeat(43)}`, { ipAddress: hostile }).catch(() => undefined);
  }
  await sessions.getSession(hostile, { userAgent: hostile }).catch(() => undefined);
  expect(lines).toEqual([
    'A session was refused to a request: TOKEN_FORGED. The session token is not signed with any key of secretKey. Was a key removed, or does the token come from another application?',
    'A session was refused to a request: TOKEN_MALFORMED. The session token is malformed. It must be the text that login(), start() or createSession() returned.',
  ]);
  clock.advance(1000);
  await sessions.deleteSession(session.sessionId);
  await sessions.getSession(`${token.slice(0, 57)}${'A'.repeat(43)}`).catch(() => undefined);
  await sessions.getSession(token).catch(() => undefined);
  expect(lines.slice(2)).toEqual([
    'A session was refused to a request: TOKEN_FORGED, and 9999 times more since this was last said. The session token is not signed with any key of secretKey. Was a key removed, or does the token come from another application?',
    'A session was refused to a request: SESSION_NOT_FOUND. There is no such session: it has expired, was logged out, or never existed.',
  ]);
  debug.mockRestore();
  await close();
});
