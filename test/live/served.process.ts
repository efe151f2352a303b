// Serves what stays open, in a process of its own. Arguments: ws or socket.io, a store, its address. Prints its URL.
import 'reflect-metadata';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Controller, Module, Sse, UseGuards, type MessageEvent } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { WebSocketGateway } from '@nestjs/websockets';
import { EndsWithSession, SessionGuard, SessionModule, type SessionBackend } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend, sessionClusterOptions } from 'nestjs-sessionx/redis';
import { Cluster } from 'ioredis';
import { concat, NEVER, of, type Observable } from 'rxjs';

import { Feed } from '../contexts/feed.resolver.js';
import { useSockets } from '../contexts/sockets.js';

const [library = '', store = '', address = '', interval = ''] = process.argv.slice(2);

@UseGuards(SessionGuard)
@Controller()
class Stream {
  @EndsWithSession()
  @Sse('stream')
  stream(): Observable<MessageEvent> {
    return concat(of({ data: 'begun' }), NEVER);
  }
}

@EndsWithSession()
@WebSocketGateway({ path: library === 'ws' ? '/' : '/socket.io/' })
class Gateway {}

@Module({})
class AppModule {}

const app = await NestFactory.create(
  {
    module: AppModule,
    imports: [
      SessionModule.forRoot({
        secretKey: 'a test key that nobody else has, 0123456789',
        backend: backend(),
        liveCheckInterval: Number(interval),
      }),
      // The adapter of ws leaves no upgrade to others.
      ...(library === 'ws'
        ? []
        : [
            GraphQLModule.forRoot<ApolloDriverConfig>({
              driver: ApolloDriver,
              autoSchemaFile: true,
              graphiql: false,
              subscriptions: { 'graphql-ws': true },
            }),
          ]),
    ],
    controllers: [Stream],
    providers: [Gateway, ...(library === 'ws' ? [] : [Feed])],
  },
  { logger: ['error'] },
);
useSockets(app, library === 'ws' ? 'ws' : 'socket.io');
await app.listen(0, '127.0.0.1');
process.stdout.write(`Listening on ${await app.getUrl()}\n`);
// A subscription begins at a moment that its client is not told, so there are news all the time.
if (library !== 'ws') {
  setInterval(() => {
    app.get(Feed).publish('news');
  }, 20);
}

function backend(): SessionBackend {
  switch (store) {
    case 'redis':
      return new RedisBackend(address);
    case 'cluster': {
      const nodes = address.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) }));
      return new RedisBackend(new Cluster(nodes, sessionClusterOptions(1000)));
    }
    case 'memcached':
      return new MemcachedBackend({ servers: address });
    default:
      throw new Error(`There is no store of the name ${store}.`);
  }
}
