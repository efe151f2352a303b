import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';
import { SESSION_CLOCK, SessionService, type Clock } from 'nestjs-sessionx';

import { reply } from '../../support/reply.js';
import { readConfig } from '../src/config.js';
import { createApp } from '../src/create-app.js';
import { DEMO_ADMIN, DEMO_USER } from '../src/demo.js';
import { UsersService } from '../src/users/users.service.js';
import { addUser } from './add-user.js';

/** What the tests, which run in another process, ask for. */
export type Question =
  /** An application with this environment, in which nobody is logged in and no user has been changed; null: none any more. */
  | { readonly serve: Record<string, string> | null }
  /** Moves the clock of its sessions. */
  | { readonly advanceSeconds: number };

let app: INestApplication | undefined;
let aheadMs = 0;
/** Of the application that runs, in JSON; null: its clock was moved, or there is none, and the next case needs a new one. */
let reusableFor: string | null = null;
const clock: Clock = { now: () => Date.now() + aheadMs };

async function answer(question: Question): Promise<{ url?: string }> {
  if ('advanceSeconds' in question) {
    aheadMs += question.advanceSeconds * 1000;
    reusableFor = null;
    return {};
  }
  const environment = JSON.stringify(question.serve);
  // The hashes of the passwords make a new application expensive.
  if (app !== undefined && environment === reusableFor) {
    await reset(app);
    return { url: await app.getUrl() };
  }
  await app?.close();
  app = undefined;
  reusableFor = null;
  aheadMs = 0;
  if (question.serve === null) return {};
  const config = readConfig(question.serve);
  app = await createApp(config, [{ provide: SESSION_CLOCK, useValue: clock }]);
  for (const user of [DEMO_USER, DEMO_ADMIN]) await addUser(app, user);
  await app.listen(0, config.host);
  reusableFor = environment;
  return { url: await app.getUrl() };
}

async function reset(app: INestApplication): Promise<void> {
  const users = app.get(UsersService);
  for (const { userId, email } of [DEMO_USER, DEMO_ADMIN]) {
    users.changeEmail(userId, email);
    await app.get(SessionService).deleteUserSessions(userId);
  }
}

process.on('message', (question: Question) => {
  void reply(answer(question));
});
