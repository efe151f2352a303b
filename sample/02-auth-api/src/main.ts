import 'reflect-metadata';

import { Logger } from '@nestjs/common';

import { readConfig } from './config.js';
import { createApp } from './create-app.js';
import { addDemoUsers, whatToTry } from './demo.js';
import { listen } from './listen.js';

try {
  const config = readConfig(process.env);
  const app = await createApp(config);
  // Users whose passwords are printed here must not exist in production.
  if (!config.production) await addDemoUsers(app);
  const url = await listen(app, config);
  console.log(config.production ? `Listening on ${url}` : whatToTry(url));
} catch (error) {
  new Logger('Main').fatal(error instanceof Error ? error.message : error);
  process.exit(1);
}
