import { ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { SessionWsAdapter } from 'nestjs-sessionx/ws';
import { fileURLToPath } from 'node:url';

import type { AppConfig } from '../../02-auth-api/src/config.js';
import { AppModule } from './app.module.js';

const PUBLIC_FOLDER = fileURLToPath(new URL('./public/', import.meta.url));

/** The whole application, short of `listen()`: main.ts starts it, and so do the tests. */
export async function createApp(config: AppConfig): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config));
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy);
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'self'"], frameAncestors: ["'none'"] } },
    }),
  );
  app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true }));
  // The sockets of `ws` do not know the request that opened them, and so not its cookie: this adapter keeps it.
  app.useWebSocketAdapter(new SessionWsAdapter(app));
  app.useStaticAssets(PUBLIC_FOLDER);
  return app;
}
