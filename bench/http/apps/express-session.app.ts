import { RedisStore } from 'connect-redis';
import session from 'express-session';
import { createClient } from 'redis';

import { SECRET, TTL_SECONDS } from '../session-content.js';
import type { AppDefinition } from './app-definition.js';
import { PeerModule } from './peer.controller.js';

/** express-session with connect-redis. It puts off the expiry in the store (EXPIRE) at every request, rolling or not; that is its way. */
export function expressSessionApp(redisUrl: string, { rolling }: { rolling: boolean }): AppDefinition {
  return {
    module: PeerModule,
    configure: async (app) => {
      const client = createClient({ url: redisUrl });
      await client.connect();
      app.use(
        session({
          secret: SECRET,
          store: new RedisStore({ client, ttl: TTL_SECONDS }),
          cookie: { maxAge: TTL_SECONDS * 1000 },
          saveUninitialized: false,
          resave: false,
          rolling,
        }),
      );
    },
  };
}
