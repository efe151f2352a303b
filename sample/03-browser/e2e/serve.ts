import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';
import { SESSION_CLOCK } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { readConfig } from '../../02-auth-api/src/config.js';
import { addDemoUsers } from '../../02-auth-api/src/demo.js';
import { UsersService } from '../../02-auth-api/src/users/users.service.js';
import { createApp } from '../src/create-app.js';
import { BOB } from './users.js';

/** What the tests, which run in another process, ask for. */
export type Question =
  /** A new application with this environment; null: none any more. */
  | { readonly serve: Record<string, string> | null }
  /** Moves the clock of its sessions. */
  | { readonly advanceSeconds: number };

let app: INestApplication | undefined;
let clock = new FakeClock();

async function answer(question: Question): Promise<{ url?: string }> {
  if ('advanceSeconds' in question) {
    clock.advanceSeconds(question.advanceSeconds);
    return {};
  }
  await app?.close();
  app = undefined;
  if (question.serve === null) return {};
  const config = readConfig(question.serve);
  clock = new FakeClock();
  app = await createApp(config, [{ provide: SESSION_CLOCK, useValue: clock }]);
  await addDemoUsers(app);
  await app.get(UsersService).create({ ...BOB, userId: '2', email: 'bob@example.com', roles: ['user'] });
  await app.listen(0, config.host);
  return { url: await app.getUrl() };
}

process.on('message', (question: Question) => {
  void answer(question).then((answered) => process.send?.(answered));
});
