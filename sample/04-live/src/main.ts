import 'reflect-metadata';

import { Logger } from '@nestjs/common';

import { readConfig } from '../../02-auth-api/src/config.js';
import { listen } from '../../02-auth-api/src/listen.js';
import { createApp } from './create-app.js';

try {
  const config = readConfig(process.env);
  const app = await createApp(config);
  app.enableShutdownHooks();
  const url = await listen(app, config);
  console.log(`
Listening on ${url}

  Open it in two tabs, and in a private window for a second device. Sign in with any name, say something,
  then press "Log out everywhere" in one of them: the connections of all are closed.
`);
} catch (error) {
  new Logger('Main').fatal(error instanceof Error ? error.message : error);
  process.exit(1);
}
