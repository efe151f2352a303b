import helmet, { type FastifyHelmetOptions } from '@fastify/helmet';
import fastifyStatic from '@fastify/static';
import type { Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { fileURLToPath } from 'node:url';

import { serveApi } from '../../02-auth-api/src/api.js';
import type { AppConfig } from '../../02-auth-api/src/config.js';
import { AppModule } from './app.module.js';

const PUBLIC_FOLDER = fileURLToPath(new URL('./public/', import.meta.url));
const SELF = ["'self'"];
const NOTHING = ["'none'"];

/** The whole application, short of `listen()`: main.ts starts it, and so do the tests, each with a store of its choice. */
export async function createApp(config: AppConfig, sessionProviders: Provider[] = []): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.with(config, sessionProviders),
    // The addresses of proxies whose X-Forwarded-For is believed; none by default. See create-app.ts of 02-auth-api.
    new FastifyAdapter({ trustProxy: config.trustProxy ?? false }),
  );
  await app.register(helmet, { global: false });
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, reply, done) => {
      reply.helmet(securityHeaders(request.url));
      done();
    });
  // With wildcard: false each file is a route, and any other path goes to Nest, which responds with 404.
  await app.register(fastifyStatic, { root: PUBLIC_FOLDER, wildcard: false });
  serveApi(app, { cookieName: '__Host-session' });
  return app;
}

/** The page runs its own script and nothing else: what an attacker might get into it is text. Swagger UI alone brings styles in its HTML. */
function securityHeaders(url: string): FastifyHelmetOptions {
  const isApiDocs = /^\/docs(?:[/?]|$)/.test(url);
  return {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: SELF,
        scriptSrc: SELF,
        styleSrc: isApiDocs ? [...SELF, "'unsafe-inline'"] : SELF,
        imgSrc: [...SELF, 'data:'],
        objectSrc: NOTHING,
        baseUri: NOTHING,
        formAction: SELF,
        frameAncestors: NOTHING,
      },
    },
    frameguard: { action: 'deny' },
  };
}
