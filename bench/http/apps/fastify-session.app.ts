import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';

import { SECRET, TTL_SECONDS } from '../session-content.js';
import type { AppDefinition } from './app-definition.js';
import { PeerModule } from './peer.controller.js';

/** @fastify/session with connect-redis. With rolling off it never puts off the expiry of a session; with rolling on, at every request. */
export function fastifySessionApp(
  { redisUrl }: { readonly redisUrl: string },
  { rolling }: { rolling: boolean },
): AppDefinition {
  return {
    module: PeerModule,
    configure: async (app) => {
      const client = createClient({ url: redisUrl });
      await client.connect();
      const fastify = app as NestFastifyApplication;
      await fastify.register(fastifyCookie);
      await fastify.register(fastifySession, {
        secret: SECRET,
        store: new RedisStore({ client, ttl: TTL_SECONDS }),
        cookie: { maxAge: TTL_SECONDS * 1000, secure: false },
        saveUninitialized: false,
        rolling,
      });
    },
  };
}
