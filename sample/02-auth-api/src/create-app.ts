import type { Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';

import { serveApi } from './api.js';
import { AppModule } from './app.module.js';
import type { AppConfig } from './config.js';

/** The whole application, short of `listen()`: main.ts starts it, and so do the tests, each with a store of its choice. */
export async function createApp(config: AppConfig, sessionProviders: Provider[] = []): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config, sessionProviders));

  // Behind a proxy every request comes from the proxy's address, and IP binding and the rate limit would take all clients for one. An
  // unknown sender's X-Forwarded-For, on the other hand, can say anything; hence addresses to trust, and none by default.
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy);

  app.use(
    helmet({
      // Without TLS, on any host but localhost, a browser would look for the scripts of /docs in vain.
      contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
    }),
  );
  serveApi(app);
  return app;
}
