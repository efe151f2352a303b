// Serves what stays open, in a process of its own: the applications that a message asks for. The reply is their URLs.
import 'reflect-metadata';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Controller, Module, Sse, UseGuards, type INestApplication, type MessageEvent } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GraphQLModule } from '@nestjs/graphql';
import { WebSocketGateway } from '@nestjs/websockets';
import { EndsWithSession, SessionGuard, SessionModule, type SessionBackend } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend, sessionClusterOptions } from 'nestjs-sessionx/redis';
import { Cluster } from 'ioredis';
import { concat, NEVER, of, type Observable } from 'rxjs';

import { reply } from '../../sample/support/reply.js';
import { Feed } from '../contexts/feed.resolver.js';
import { useSockets, type Library } from '../contexts/sockets.js';

/** One application. */
export interface Served {
  readonly library: Library;
  readonly store: string;
  readonly address: string;
  readonly liveCheckInterval: number;
}

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
@WebSocketGateway({ path: '/' })
class WsGateway {}

@EndsWithSession()
@WebSocketGateway({ path: '/socket.io/' })
class SocketIoGateway {}

@Module({})
class AppModule {}

let apps: INestApplication[] = [];

/** Closes the applications before. */
async function serve(served: readonly Served[]): Promise<string[]> {
  await Promise.all(apps.map((app) => app.close()));
  apps = await Promise.all(served.map(start));
  return Promise.all(apps.map((app) => app.getUrl()));
}

async function start({ library, store, address, liveCheckInterval }: Served): Promise<INestApplication> {
  const app = await NestFactory.create(
    {
      module: AppModule,
      imports: [
        SessionModule.forRoot({
          secretKey: 'a test key that nobody else has, 0123456789',
          backend: backend(store, address),
          liveCheckInterval,
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
      providers: [library === 'ws' ? WsGateway : SocketIoGateway, Feed],
    },
    { logger: ['error'] },
  );
  useSockets(app, library);
  await app.listen(0, '127.0.0.1');
  return app;
}

// A subscription begins at a moment that its client is not told, so there are news all the time.
setInterval(() => {
  for (const app of apps) app.get(Feed).publish('news');
}, 20);

process.on('message', (served: Served[]) => {
  void reply(serve(served));
});

function backend(store: string, address: string): SessionBackend {
  switch (store) {
    case 'redis':
      return new RedisBackend(address);
    case 'redis cluster': {
      const nodes = address.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) }));
      return new RedisBackend(new Cluster(nodes, sessionClusterOptions(1000)));
    }
    case 'memcached':
      return new MemcachedBackend({ servers: address });
    default:
      throw new Error(`There is no store of the name ${store}.`);
  }
}
