import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';

import { readConfig } from '../src/config.js';
import { createApp } from '../src/create-app.js';
import { addDemoUser } from '../src/demo.js';

// Serves the tests, which run in another process: each message is the environment of a new application, and null closes the last one.
let app: INestApplication | undefined;

async function serve(environment: Record<string, string> | null): Promise<string | null> {
  await app?.close();
  app = undefined;
  if (environment === null) return null;
  const config = readConfig(environment);
  app = await createApp(config);
  await addDemoUser(app);
  await app.listen(0, config.host);
  return app.getUrl();
}

process.on('message', (environment: Record<string, string> | null) => {
  void serve(environment).then((url) => process.send?.({ url }));
});
