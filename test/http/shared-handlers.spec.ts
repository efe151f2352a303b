import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, Inject, Module, Post, Req, UseGuards, type Type } from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { ClientProxyFactory, EventPattern, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import express from 'express';
import { firstValueFrom } from 'rxjs';
import {
  CurrentSession,
  CurrentUser,
  FlashMessages,
  OneTime,
  OptionalSession,
  RequireRoles,
  Session,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type ContextReader,
  type FlashMessage,
  type SessionModuleOptions,
  type SessionUser,
} from 'nestjs-sessionx';

import { PLATFORMS, SECRET_KEY, type Platform } from '../support/apps.js';
import { freePort } from '../support/processes.js';
import { soon } from '../support/soon.js';

type Name = 'shop' | 'admin';
const NAMES = ['shop', 'admin'] as const;

class SharedRoutes {
  @Inject(SessionService)
  private readonly sessions!: SessionService;

  @UseSession()
  @HttpCode(200)
  @Post('login/:user')
  async login(@Req() request: { params: { user: string } }) {
    const { token, session } = await this.sessions.login(request, {
      userId: request.params.user,
      roles: ['admin'],
    });
    session.addFlashMessage(`flash of ${request.params.user}`);
    await this.sessions.oneTime.put(session, 'state', `state of ${request.params.user}`);
    return { token };
  }

  @Get('user')
  user(@CurrentUser() user: SessionUser) {
    return { user: user.userId };
  }

  @UseGuards(SessionGuard)
  @Get('guarded')
  guarded(@CurrentSession() session: Session) {
    session.data.written = session.user?.userId;
    return { user: session.user?.userId };
  }

  @RequireRoles('admin')
  @Get('role')
  role(@CurrentSession() session: Session) {
    return { user: session.user?.userId, data: session.data };
  }

  @Get('optional')
  optional(@OptionalSession('user') user: SessionUser | null) {
    return { user: user?.userId ?? null };
  }

  @UseGuards(SessionGuard)
  @Get('taken')
  taken(@FlashMessages() flash: FlashMessage[], @OneTime('state') state: unknown) {
    return { flash: flash.map(({ message }) => message), state };
  }
}

function sessionsOf(name: Name, options: Partial<SessionModuleOptions> = {}) {
  return SessionModule.forRoot({
    secretKey: `${SECRET_KEY}${name}`,
    backendKeyPrefix: `${name}:`,
    headerName: `X-${name}`,
    tokenSourcePriority: ['header'],
    isGlobal: false,
    ...options,
  });
}

function moduleOf(name: Name, controller: Type, options?: Partial<SessionModuleOptions>): Type {
  @Module({ imports: [sessionsOf(name, options)], controllers: [controller] })
  class NamedModule {}
  return NamedModule;
}

/** Controllers with one base class, each in its module. */
function inherited(order: readonly Name[]): Type {
  const modules = order.map((name) => {
    @Controller(name)
    class Own extends SharedRoutes {}
    return moduleOf(name, Own);
  });
  @Module({ imports: modules })
  class AppModule {}
  return AppModule;
}

/** One controller in two modules, each below a path of its own. */
function routed(order: readonly Name[]): Type {
  @Controller()
  class Both extends SharedRoutes {}
  const modules = order.map((name) => ({ path: name, module: moduleOf(name, Both) }));
  @Module({ imports: [...modules.map(({ module }) => module), RouterModule.register(modules)] })
  class AppModule {}
  return AppModule;
}

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(module: Type, platform: Platform): Promise<string> {
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  const app =
    platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
  app.useLogger(false);
  closers.push(() => app.close());
  await app.listen(0, '127.0.0.1');
  return app.getUrl();
}

/** Two applications on one of Express. */
async function startOnOneExpress(order: readonly Name[]): Promise<string> {
  const shared = express();
  for (const name of order) {
    @Controller()
    class Own extends SharedRoutes {}
    const testing = await Test.createTestingModule({ imports: [moduleOf(name, Own)] }).compile();
    const app = testing.createNestApplication(new ExpressAdapter(shared));
    app.useLogger(false);
    app.setGlobalPrefix(name);
    closers.push(() => app.close());
    await app.init();
  }
  const server = shared.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const orders = [NAMES, NAMES.toReversed()];
const ways = [
  ...PLATFORMS.flatMap((platform) =>
    orders.flatMap((order) => [
      [
        `controllers with one base class, on ${platform}, ${order.join(' before ')}`,
        () => start(inherited(order), platform),
      ],
      [`a controller in two modules, on ${platform}, ${order.join(' before ')}`, () => start(routed(order), platform)],
    ]),
  ),
  ...orders.map((order) => [
    `two applications on one Express, ${order.join(' before ')}`,
    () => startOnOneExpress(order),
  ]),
] as [string, () => Promise<string>][];

describe.each(ways)('decorators of handlers that two SessionModules share: %s', (_, starts) => {
  it('give each its own session', async () => {
    const url = await starts();
    const get = async (path: string, headers: Record<string, string>) => {
      const response = await fetch(`${url}/${path}`, { headers });
      return [response.status, response.ok ? ((await response.json()) as object) : null];
    };
    const tokens: Record<string, string> = {};
    for (const name of NAMES) {
      const response = await fetch(`${url}/${name}/login/${name}-user`, { method: 'POST' });
      expect(response.status).toBe(200);
      tokens[`X-${name}`] = ((await response.json()) as { token: string }).token;
    }
    for (const name of NAMES) {
      const user = `${name}-user`;
      const [other] = NAMES.filter((one) => one !== name);
      const foreign = { [`X-${other}`]: tokens[`X-${other}`]! };
      for (const path of ['user', 'guarded', 'role', 'taken']) {
        expect([path, ...(await get(`${name}/${path}`, foreign))]).toEqual([path, 401, null]);
      }
      expect(await get(`${name}/optional`, foreign)).toEqual([200, { user: null }]);
      for (const path of ['user', 'guarded', 'optional'])
        expect([path, ...(await get(`${name}/${path}`, tokens))]).toEqual([path, 200, { user }]);
      expect(await get(`${name}/role`, tokens)).toEqual([200, { user, data: { written: user } }]);
      const taken = { flash: [`flash of ${user}`], state: `state of ${user}` };
      expect(await get(`${name}/taken`, tokens)).toEqual([200, taken]);
    }
  });
});

describe('handlers that two SessionModules share by a base class', () => {
  it('have each its own session for one event of a microservice', async () => {
    const seen: Record<string, string | null> = {};
    const bothHaveSeen = () => Object.keys(seen).length === 2 || undefined;

    class SharedHandlers {
      @Inject(SessionService)
      readonly sessions!: SessionService;

      @EventPattern('happened')
      happened(@OptionalSession('user') user: SessionUser | null) {
        seen[this.constructor.name] = user?.userId ?? null;
      }
    }

    @Controller()
    class shop extends SharedHandlers {}

    @Controller()
    class admin extends SharedHandlers {}

    const tokenOf = (name: Name): ContextReader => ({
      type: 'rpc',
      read: (context) => ({
        request: {},
        response: null,
        lifetime: 'request',
        token: context.getArgByIndex<Record<Name, string>>(0)[name],
      }),
    });
    const controllers = { shop, admin };
    const imports = NAMES.map((name) => moduleOf(name, controllers[name], { contexts: [tokenOf(name)] }));
    const testing = await Test.createTestingModule({ imports }).compile();
    const port = await freePort();
    const options = { host: '127.0.0.1', port };
    const app = testing.createNestMicroservice({ transport: Transport.TCP, options });
    app.useLogger(false);
    await app.listen();
    closers.push(() => app.close());
    const tokens: Record<string, string> = {};
    for (const name of NAMES) {
      const { sessions } = testing.get<SharedHandlers>(controllers[name], { strict: false });
      tokens[name] = (await sessions.createSession({ user: { userId: `${name}-user` } })).token;
    }
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    closers.push(() => Promise.resolve(client.close()));
    await firstValueFrom(client.emit('happened', tokens), { defaultValue: null });
    await soon(bothHaveSeen);
    expect(seen).toEqual({ shop: 'shop-user', admin: 'admin-user' });
  });
});
