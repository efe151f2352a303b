// GraphQL over WebSockets by Mercurius, run by Node itself: some of its packages are ES modules that it loads by require(). Prints what clients get.
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MemoryBackend, SessionModule, SessionService } from 'nestjs-sessionx';

import { Feed } from './feed.resolver.js';
import { feedClient, type FeedClient, type Result } from './subscriptions.js';

@Module({})
class AppModule {}

const app = await NestFactory.create(
  {
    module: AppModule,
    imports: [
      SessionModule.forRoot({
        secretKey: 'a test key that nobody else has, 0123456789',
        backend: new MemoryBackend(),
        tokenSourcePriority: ['header', 'bearer', 'cookie'],
        cookie: { name: 'session', secure: false },
      }),
      GraphQLModule.forRoot<MercuriusDriverConfig>({
        driver: MercuriusDriver,
        autoSchemaFile: true,
        graphiql: false,
        fieldResolverEnhancers: ['guards'],
        subscription: { fullWsTransport: true },
      }),
    ],
    providers: [Feed],
  },
  new FastifyAdapter(),
  { logger: false },
);
await app.listen(0, '127.0.0.1');
const url = await app.getUrl();
const sessions = app.get(SessionService);
const clients: FeedClient[] = [];

function open(params: object = {}, headers: Readonly<Record<string, string>> = {}): FeedClient {
  const client = feedClient(url, params, headers);
  clients.push(client);
  return client;
}

async function next(results: AsyncIterator<Result>): Promise<IteratorResult<Result>> {
  const timer = setInterval(() => {
    app.get(Feed).publish('news');
  }, 5);
  try {
    return await results.next();
  } finally {
    clearInterval(timer);
  }
}

const codes = ({ errors = [] }: Result) => errors.map(({ extensions }) => extensions?.code);
const { token, session } = await sessions.createSession({ user: { userId: 'ann' } });
const ann = open({ Authorization: `Bearer ${token}` });
const output: Record<string, unknown> = {};
output.query = await ann.send('{ me }');
output.mutation = await ann.send('mutation { write(key: "a") }');
output.byContext = await ann.send('mutation { writeByContext }');
output.refused = codes(await open().send('{ me }'));
output.refusedSubscription = codes(await open().send('subscription { news { text } }'));
const results = ann.subscribe('subscription { news { text reader } }');
output.event = (await next(results)).value;
output.data = Object.keys((await sessions.getSession(token)).data).sort();
await sessions.deleteSession(session);
let last = await results.next();
while (last.done !== true) last = await results.next();
output.completed = last.done;
const guest = open();
output.login = typeof (await guest.send('mutation { login(userId: "bob") }')).data?.login;
output.loggedIn = await guest.send('{ me }');
const cookie = `session=${(await sessions.createSession({ user: { userId: 'eve' } })).token}`;
output.cookie = await open({}, { cookie, origin: url }).send('{ me }');
output.foreign = await open({}, { cookie, origin: 'https://evil.example' })
  .send('{ me }')
  .catch((error: unknown) => (error as Error).message);
process.stdout.write(`${JSON.stringify(output)}\n`);
for (const client of clients) client.close();
await app.close();
