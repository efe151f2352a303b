import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';
import { SESSION_CLOCK, type Clock } from 'nestjs-sessionx';

import { readConfig } from '../src/config.js';
import { createApp } from '../src/create-app.js';
import { addDemoUsers } from '../src/demo.js';

/** What the tests, which run in another process, ask for. */
export type Question =
  /** A new application with this environment; null: none any more. */
  | { readonly serve: Record<string, string> | null }
  /** Moves the clock of its sessions. */
  | { readonly advanceSeconds: number };

let app: INestApplication | undefined;
let aheadMs = 0;
const clock: Clock = { now: () => Date.now() + aheadMs };

async function answer(question: Question): Promise<{ url?: string }> {
  if ('advanceSeconds' in question) {
    aheadMs += question.advanceSeconds * 1000;
    return {};
  }
  await app?.close();
  app = undefined;
  aheadMs = 0;
  if (question.serve === null) return {};
  const config = readConfig(question.serve);
  app = await createApp(config, [{ provide: SESSION_CLOCK, useValue: clock }]);
  await addDemoUsers(app);
  await app.listen(0, config.host);
  return { url: await app.getUrl() };
}

process.on('message', (question: Question) => {
  void answer(question).then((answered) => process.send?.(answered));
});
