import { RedisStore } from 'connect-redis';
import session, { type SessionOptions } from 'express-session';
import { createClient } from 'redis';

import { SECRET, TTL_SECONDS } from '../session-content.js';
import type { AppDefinition } from './app-definition.js';
import { PeerModule } from './peer.controller.js';

/** express-session with connect-redis. It puts off the expiry in the store (EXPIRE) at every request, rolling or not; that is its way. */
export function expressSessionOnRedis(
  { redisUrl }: { readonly redisUrl: string },
  { rolling }: { rolling: boolean },
): AppDefinition {
  return expressSessionApp(async () => {
    const client = createClient({ url: redisUrl });
    await client.connect();
    return { store: new RedisStore({ client, ttl: TTL_SECONDS }), rolling };
  });
}

/** express-session with the store that it has by default. */
export function expressSessionOnMemory(): AppDefinition {
  return expressSessionApp(() => Promise.resolve({ store: new session.MemoryStore(), rolling: false }));
}

function expressSessionApp(optionsOf: () => Promise<Partial<SessionOptions>>): AppDefinition {
  return {
    module: PeerModule,
    configure: async (app) => {
      app.use(
        session({
          secret: SECRET,
          cookie: { maxAge: TTL_SECONDS * 1000 },
          saveUninitialized: false,
          resave: false,
          ...(await optionsOf()),
        }),
      );
    },
  };
}
