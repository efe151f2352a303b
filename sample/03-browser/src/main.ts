import 'reflect-metadata';

import { Logger } from '@nestjs/common';

import { readConfig } from '../../02-auth-api/src/config.js';
import { addDemoUsers } from '../../02-auth-api/src/demo.js';
import { listen } from '../../02-auth-api/src/listen.js';
import { createApp } from './create-app.js';
import { welcome } from './welcome.js';

try {
  const config = readConfig(process.env);
  const app = await createApp(config);
  // Users whose passwords are printed here must not exist in production.
  if (!config.production) await addDemoUsers(app);
  const url = await listen(app, config);
  console.log(config.production ? `Listening on ${url}` : welcome(url));
} catch (error) {
  new Logger('Main').fatal(error instanceof Error ? error.message : error);
  process.exit(1);
}
