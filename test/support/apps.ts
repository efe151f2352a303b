import type { INestApplication, ModuleMetadata, Type } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { SESSION_CLOCK, SessionModule, type SessionModuleOptions } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

export const PLATFORMS = ['express', 'fastify'] as const;
export type Platform = (typeof PLATFORMS)[number];

/** Whatever holds for tokens holds for either. */
export const TOKEN_FORMATS = ['simple', 'jwt'] as const;

export const SECRET_KEY = 'a test key that nobody else has, 0123456789';

export interface AppUnderTest {
  readonly app: INestApplication;
  readonly clock: FakeClock;
  readonly url: string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export interface AppOptions extends Pick<ModuleMetadata, 'imports' | 'providers'> {
  readonly platform?: Platform;
  readonly controllers: Type[];
  readonly session?: Partial<SessionModuleOptions>;
  readonly clock?: FakeClock;
  /** Default: one that is free. */
  readonly port?: number;
  /** What the framework takes for its own proxies, as either calls it. */
  readonly trustProxy?: string | boolean;
  readonly configure?: (app: INestApplication) => void | Promise<void>;
}

/** An application that listens on a port of its own. */
export async function startApp({
  platform = 'express',
  controllers,
  session,
  clock = new FakeClock(),
  imports = [],
  providers,
  port = 0,
  trustProxy,
  configure,
}: AppOptions): Promise<AppUnderTest> {
  const testing = await Test.createTestingModule({
    imports: [
      SessionModule.forRoot({
        secretKey: SECRET_KEY,
        ...session,
        extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
      }),
      ...imports,
    ],
    controllers,
    ...(providers ? { providers } : {}),
  }).compile();
  const app =
    platform === 'fastify'
      ? testing.createNestApplication(new FastifyAdapter(trustProxy === undefined ? {} : { trustProxy }))
      : testing.createNestApplication<NestExpressApplication>();
  if (platform === 'express' && trustProxy !== undefined)
    (app as NestExpressApplication).set('trust proxy', trustProxy);
  app.useLogger(false);
  await configure?.(app);
  await app.listen(port, '127.0.0.1');
  const url = await app.getUrl();
  return {
    app,
    clock,
    url,
    fetch: (path, init) => fetch(url + path, { redirect: 'manual', ...init }),
    close: () => app.close(),
  };
}
