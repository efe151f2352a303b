// Serves streams, watched and not. Arguments: URL of Redis, secret key.
import { Controller, Module, Sse, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EndsWithSession, SessionGuard, SessionModule, SessionService } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { concat, NEVER, of, type Observable } from 'rxjs';

import type { LiveMessage, LiveReply } from './messages.js';

const [redisUrl, secretKey] = process.argv.slice(2) as [string, string];
const USER = { userId: 'ada' };

@UseGuards(SessionGuard)
@Controller()
class StreamController {
  @Sse('plain')
  plain(): Observable<object> {
    return concat(of({ data: 'first' }), NEVER);
  }

  @EndsWithSession()
  @Sse('watched')
  watched(): Observable<object> {
    return concat(of({ data: 'first' }), NEVER);
  }
}

@Module({
  imports: [
    SessionModule.forRoot({
      secretKey,
      backend: new RedisBackend(redisUrl),
      backendTimeout: 10_000,
      maxSessionsPerUser: null,
    }),
  ],
  controllers: [StreamController],
})
class StreamModule {}

const app = await NestFactory.create<NestFastifyApplication>(StreamModule, new FastifyAdapter(), { logger: ['error'] });
await app.listen(0, '127.0.0.1');
const sessions = app.get(SessionService);

process.on('message', (message: LiveMessage) => {
  void handle(message).then((reply) => process.send?.(reply));
});
process.on('disconnect', () => process.exit());
reply({ port: (app.getHttpServer().address() as AddressInfo).port });

async function handle({ ask, count = 0 }: LiveMessage): Promise<LiveReply> {
  switch (ask) {
    case 'open': {
      const tokens: string[] = [];
      for (let made = 0; made < count; made++) tokens.push((await sessions.createSession({ user: USER })).token);
      return { tokens };
    }
    case 'memory':
      for (let round = 0; round < 5; round++) {
        globalThis.gc?.();
        await sleep(50);
      }
      return { bytes: process.memoryUsage().heapUsed };
    case 'end':
      return { ended: await sessions.deleteUserSessions(USER.userId) };
    default:
      return ask satisfies never;
  }
}

function reply(message: LiveReply): void {
  process.send?.(message);
}
