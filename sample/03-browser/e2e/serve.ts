import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';
import { SESSION_CLOCK, SessionService } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { reply } from '../../support/reply.js';
import { addUser } from '../../02-auth-api/e2e/add-user.js';
import { readConfig } from '../../02-auth-api/src/config.js';
import { DEMO_ADMIN, DEMO_USER } from '../../02-auth-api/src/demo.js';
import { UsersService } from '../../02-auth-api/src/users/users.service.js';
import { createApp } from '../src/create-app.js';
import { BOB } from './users.js';

/** What the tests, which run in another process, ask for. */
export type Question =
  /** An application with this environment, in which nobody is signed in; null: none any more. */
  | { readonly serve: Record<string, string> | null }
  /** Moves the clock of its sessions. */
  | { readonly advanceSeconds: number };

let app: INestApplication | undefined;
let clock = new FakeClock();
/** Of the application that runs, in JSON; null: its clock was moved, or there is none, and the next case needs a new one. */
let reusableFor: string | null = null;

async function answer(question: Question): Promise<{ url?: string }> {
  if ('advanceSeconds' in question) {
    clock.advanceSeconds(question.advanceSeconds);
    reusableFor = null;
    return {};
  }
  const environment = JSON.stringify(question.serve);
  // The hashes of the passwords make a new application expensive.
  if (app !== undefined && environment === reusableFor) {
    await endSessions(app);
    clock.advance(Math.max(0, Date.now() - clock.now()));
    return { url: await app.getUrl() };
  }
  await app?.close();
  app = undefined;
  reusableFor = null;
  if (question.serve === null) return {};
  const config = readConfig(question.serve);
  clock = new FakeClock();
  app = await createApp(config, [{ provide: SESSION_CLOCK, useValue: clock }]);
  const bob = { ...BOB, userId: '2', email: 'bob@example.com', roles: ['user'] };
  for (const user of [DEMO_USER, DEMO_ADMIN, bob]) await addUser(app, user);
  await app.listen(0, config.host);
  reusableFor = environment;
  return { url: await app.getUrl() };
}

async function endSessions(app: INestApplication): Promise<void> {
  const sessions = app.get(SessionService);
  for (const { userId } of app.get(UsersService).list()) await sessions.deleteUserSessions(userId);
}

process.on('message', (question: Question) => {
  void reply(answer(question));
});
