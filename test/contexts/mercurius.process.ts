// GraphQL by Mercurius, run by Node itself: some of its packages are ES modules that it loads by require(). Prints what clients get.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MemoryBackend, SessionGuard, SessionModule, SessionService } from 'nestjs-sessionx';

import { BarrierBackend } from '../support/barrier-backend.js';
import { Profiles } from './profiles.resolver.js';

@Module({})
class AppModule {}

const store = new BarrierBackend(new MemoryBackend());
const app = await NestFactory.create(
  {
    module: AppModule,
    imports: [
      SessionModule.forRoot({ secretKey: 'a test key that nobody else has, 0123456789', backend: store.backend }),
      GraphQLModule.forRoot<MercuriusDriverConfig>({
        driver: MercuriusDriver,
        autoSchemaFile: true,
        graphiql: false,
        fieldResolverEnhancers: ['guards'],
      }),
    ],
    providers: [Profiles, { provide: APP_GUARD, useClass: SessionGuard }],
  },
  new FastifyAdapter(),
  { logger: false },
);
await app.listen(0, '127.0.0.1');
const url = await app.getUrl();

interface GraphqlBody {
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly { readonly extensions?: { readonly code?: string } }[];
}

async function send(query: string, token?: string): Promise<{ readonly data: unknown; readonly codes: unknown[] }> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query }),
  });
  const { data = null, errors = [] } = (await response.json()) as GraphqlBody;
  return { data, codes: errors.map(({ extensions }) => extensions?.code) };
}

const { token: ann } = await app.get(SessionService).createSession({ user: { userId: 'ann' } });
const results: Record<string, unknown> = {};
results.user = await send('{ me { userId } greeting }', ann);
const reads = store.calls.read ?? 0;
await send('{ me { userId } profiles { userId seen } greeting }', ann);
results.readsOfFiftyFields = (store.calls.read ?? 0) - reads;
results.withoutToken = await send('{ me { userId } }');
results.guest = await send('{ greeting }');
results.written = await send('mutation { a: write(key: "a") b: write(key: "b") }', ann);
results.messages = await send('{ messages }', ann);
store.fail('replace');
results.notStored = await send('mutation { write(key: "c") }', ann);
store.fail('read');
results.notRead = await send('{ me { userId } }', ann);
store.heal();
const login = (await send('mutation { login(userId: "bob") }')).data as { readonly login: string };
results.loggedIn = await send('{ me { userId } greeting }', login.login);
results.loggedOut = await send('mutation { logout }', login.login);
results.afterLogout = await send('{ me { userId } }', login.login);
process.stdout.write(`${JSON.stringify(results)}\n`);
await app.close();
