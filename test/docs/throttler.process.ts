// The recipe for @nestjs/throttler in an application, run by Node itself. Prints the statuses of some requests.
import 'reflect-metadata';
import { Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SessionModule, SessionService } from 'nestjs-sessionx';

const [, , file = '', platform] = process.argv;
const { SearchModule } = (await import(file)) as { SearchModule: Type };

@Module({})
class AppModule {}

const module = {
  module: AppModule,
  imports: [SessionModule.forRoot({ secretKey: 'a test key that nobody else has, 0123456789' }), SearchModule],
};
const app =
  platform === 'fastify'
    ? await NestFactory.create(module, new FastifyAdapter(), { logger: false })
    : await NestFactory.create(module, { logger: false });
await app.listen(0, '127.0.0.1');
const url = await app.getUrl();
const sessions = app.get(SessionService);

async function search(token?: string): Promise<number> {
  const headers = new Headers(token === undefined ? [] : [['authorization', `Bearer ${token}`]]);
  return (await fetch(`${url}/search`, { headers })).status;
}

const statuses: Record<string, number[]> = {};
for (const userId of ['ann', 'bob']) {
  const { token } = await sessions.createSession({ user: { userId } });
  statuses[userId] = [await search(token), await search(token), await search(token), await search(token)];
}
statuses.guest = [await search(), await search(), await search(), await search('forged')];
process.stdout.write(`${JSON.stringify(statuses)}\n`);
await app.close();
