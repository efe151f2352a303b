import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  Global,
  Injectable,
  Module,
  type BeforeApplicationShutdown,
  type INestApplicationContext,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SessionModule, SessionService } from 'nestjs-sessionx';

import { SECRET_KEY } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';
import { BarrierBackend } from '../support/barrier-backend.js';

const HOOKS = [
  'onModuleInit',
  'onApplicationBootstrap',
  'onModuleDestroy',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
] as const;

/** Uses sessions in every hook that Nest has, and goes on with the session of the hook before. */
@Injectable()
abstract class Visitor
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly outcomes: Record<string, unknown> = {};
  #token: string | undefined;

  constructor(private readonly sessions: SessionService) {}

  onModuleInit = () => this.#visit('onModuleInit');
  onApplicationBootstrap = () => this.#visit('onApplicationBootstrap');
  onModuleDestroy = () => this.#visit('onModuleDestroy');
  beforeApplicationShutdown = () => this.#visit('beforeApplicationShutdown');
  onApplicationShutdown = () => this.#visit('onApplicationShutdown');

  async #visit(hook: string): Promise<void> {
    try {
      this.#token ??= (await this.sessions.createSession({ user: { userId: this.constructor.name } })).token;
      const session = await this.sessions.getSession(this.#token);
      session.data[hook] = true;
      await this.sessions.updateSession(session);
      this.outcomes[hook] = Object.keys((await this.sessions.getSession(this.#token)).data).length;
    } catch (error) {
      this.outcomes[hook] = error;
    }
  }
}

@Injectable()
class Deep extends Visitor {}

@Injectable()
class Before extends Visitor {}

@Injectable()
class After extends Visitor {}

@Injectable()
class Everywhere extends Visitor {}

@Injectable()
class Root extends Visitor {}

@Module({ providers: [Deep], exports: [Deep] })
class DeepModule {}

@Module({ imports: [DeepModule], providers: [Before] })
class BeforeModule {}

@Module({ providers: [After] })
class AfterModule {}

@Global()
@Module({ providers: [Everywhere] })
class EverywhereModule {}

const VISITORS = [Deep, Before, After, Everywhere, Root];

describe.each(everyBackend())('sessions in the hooks of an application, on $name', (store) => {
  beforeAll(() => store.start());
  afterAll(() => store.stop());

  it.each(['express', 'fastify', 'no server'])('can be used from the first to the last, with %s', async (platform) => {
    const { backend, calls } = new BarrierBackend(store.another());

    @Module({
      imports: [
        BeforeModule,
        SessionModule.forRoot({ secretKey: SECRET_KEY, backend, backendTimeout: 5000 }),
        AfterModule,
        EverywhereModule,
      ],
      providers: [Root],
    })
    class AppModule {}

    const app = await create(platform, AppModule);
    await app.init();
    const visitors = VISITORS.map((visitor) => app.get<Visitor>(visitor, { strict: false }));
    await app.close();

    const expected = Object.fromEntries(HOOKS.map((hook, index) => [hook, index + 1]));
    expect(visitors.map(({ outcomes }) => outcomes)).toEqual(VISITORS.map(() => expected));
    expect([calls.open, calls.close]).toEqual([1, 1]);
  });
});

function create(platform: string, module: Type): Promise<INestApplicationContext> {
  switch (platform) {
    case 'express':
      return NestFactory.create(module, { logger: false });
    case 'fastify':
      return NestFactory.create(module, new FastifyAdapter(), { logger: false });
    default:
      return NestFactory.createApplicationContext(module, { logger: false });
  }
}
