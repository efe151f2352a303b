// A throttler that counts by user, in an application with global guards, run by Node itself: Jest cannot load @nestjs/throttler on every version
// of Node. Prints what a series of requests got.
import 'reflect-metadata';
import { Controller, Get, HttpCode, Module, Post, type INestApplication, type Type } from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ThrottlerModule } from '@nestjs/throttler';
import { MemoryBackend, Public, SessionGuard, SessionModule, SessionService } from 'nestjs-sessionx';

import { BarrierBackend } from '../support/barrier-backend.js';

const [, , file = ''] = process.argv;
const { UserThrottlerGuard } = (await import(file)) as { UserThrottlerGuard: Type };

@Controller()
class SearchController {
  @Get('search')
  search() {
    return [];
  }

  @HttpCode(200)
  @Post('save')
  save() {
    return [];
  }

  @Public()
  @Get('news')
  news() {
    return [];
  }
}

@Module({})
class AppModule {}

async function create(platform: string, store: BarrierBackend, guards: readonly Type[]): Promise<INestApplication> {
  const module = {
    module: AppModule,
    imports: [
      SessionModule.forRoot({
        secretKey: 'a test key that nobody else has, 0123456789',
        tokenSourcePriority: ['bearer', 'cookie'],
        backend: store.backend,
        touchInterval: 3600,
      }),
      ThrottlerModule.forRoot([{ ttl: 60_000, limit: 3 }]),
    ],
    controllers: [SearchController],
    providers: guards.map((useClass) => ({ provide: APP_GUARD, useClass })),
  };
  if (platform === 'fastify')
    return NestFactory.create(module, new FastifyAdapter({ trustProxy: true }), { logger: false });
  const express = await NestFactory.create<NestExpressApplication>(module, { logger: false });
  express.set('trust proxy', true);
  return express;
}

async function series(count: number, one: (index: number) => Promise<number>): Promise<number[]> {
  const statuses: number[] = [];
  for (let index = 0; index < count; index++) statuses.push(await one(index));
  return statuses;
}

async function statusesOf(platform: string, guards: readonly Type[]): Promise<object> {
  const store = new BarrierBackend(new MemoryBackend());
  const app = await create(platform, store, guards);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const sessions = app.get(SessionService);

  async function tokenOf(userId: string): Promise<string> {
    return (await sessions.createSession({ user: { userId } })).token;
  }

  /** From one address, unless the headers name another one. */
  async function send(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<number> {
    return (await fetch(url + path, { method, headers: { 'x-forwarded-for': '192.0.2.1', ...headers } })).status;
  }

  const devices: Record<string, string>[] = [
    { authorization: `Bearer ${await tokenOf('ann')}` },
    { cookie: `__Host-session=${await tokenOf('ann')}`, 'x-forwarded-for': '192.0.2.2' },
  ];
  const twoDevices = await series(4, (index) => send('/search', devices[index % 2]));

  const bob = { authorization: `Bearer ${await tokenOf('bob')}` };
  const reads = store.calls.read ?? 0;
  const anotherUser = await series(1, () => send('/search', bob));
  const readsOfOne = (store.calls.read ?? 0) - reads;

  const guests = await series(4, () => send('/news'));
  const forged = await series(1, () => send('/news', { authorization: 'Bearer forged' }));
  const guestElsewhere = await series(1, () => send('/news', { 'x-forwarded-for': '192.0.2.3' }));
  const named = { authorization: `Bearer ${await tokenOf('192.0.2.1')}` };
  const userNamedLikeTheirAddress = await series(1, () => send('/news', named));
  const userOnTheAddressOfGuests = await series(1, () => send('/news', bob));
  const withoutSession = await series(4, () => send('/search'));

  const eve = { cookie: `__Host-session=${await tokenOf('eve')}` };
  const ofAnotherSite = await series(1, () => send('/save', { ...eve, 'sec-fetch-site': 'cross-site' }, 'POST'));

  store.fail('read');
  const storeFails = await series(1, () => send('/search', bob));

  await app.close();
  return {
    twoDevices,
    anotherUser,
    readsOfOne,
    guests,
    forged,
    guestElsewhere,
    userOnTheAddressOfGuests,
    userNamedLikeTheirAddress,
    withoutSession,
    ofAnotherSite,
    storeFails,
  };
}

const results: Record<string, object> = {};
for (const platform of ['express', 'fastify']) {
  results[`before, ${platform}`] = await statusesOf(platform, [UserThrottlerGuard, SessionGuard]);
  results[`after, ${platform}`] = await statusesOf(platform, [SessionGuard, UserThrottlerGuard]);
}
process.stdout.write(`${JSON.stringify(results)}\n`);
