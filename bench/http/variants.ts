import type { AppDefinition, Platform } from './apps/app-definition.js';

/** One line of the table. */
export interface Variant {
  readonly name: string;
  readonly label: string;
  /** Of the route that is measured. */
  readonly path: string;
  /** Loads no more than the variant needs, in the process that serves it. */
  define(redisUrl: string): Promise<AppDefinition>;
}

const common: readonly Variant[] = [
  {
    name: 'bare',
    label: 'bare Nest',
    path: '/me',
    define: async () => (await import('./apps/bare.app.js')).bareApp(),
  },
  {
    name: 'unused',
    label: 'sessionx installed, route uses none',
    path: '/unused',
    define: async (redisUrl) => (await import('./apps/sessionx.app.js')).sessionxOnRedis(redisUrl),
  },
  {
    name: 'limit',
    label: 'LIMIT: GET + JSON.parse',
    path: '/me',
    define: async (redisUrl) => (await import('./apps/limit.app.js')).limitApp(redisUrl),
  },
  {
    name: 'shape',
    label: 'SHAPE: + no-op guard, no-op interceptor',
    path: '/shape',
    define: async (redisUrl) => (await import('./apps/limit.app.js')).limitApp(redisUrl),
  },
  {
    name: 'redis',
    label: 'sessionx on Redis',
    path: '/me',
    define: async (redisUrl) => (await import('./apps/sessionx.app.js')).sessionxOnRedis(redisUrl),
  },
  {
    name: 'memory',
    label: 'sessionx on memory',
    path: '/me',
    define: async () => (await import('./apps/sessionx.app.js')).sessionxOnMemory(),
  },
];

const peers: Record<Platform, readonly Variant[]> = {
  express: [
    {
      name: 'peer',
      label: 'express-session',
      path: '/me',
      define: async (redisUrl) =>
        (await import('./apps/express-session.app.js')).expressSessionApp(redisUrl, { rolling: false }),
    },
    {
      name: 'peer-rolling',
      label: 'express-session, rolling',
      path: '/me',
      define: async (redisUrl) =>
        (await import('./apps/express-session.app.js')).expressSessionApp(redisUrl, { rolling: true }),
    },
  ],
  fastify: [
    {
      name: 'peer',
      label: '@fastify/session',
      path: '/me',
      define: async (redisUrl) =>
        (await import('./apps/fastify-session.app.js')).fastifySessionApp(redisUrl, { rolling: false }),
    },
    {
      name: 'peer-rolling',
      label: '@fastify/session, rolling',
      path: '/me',
      define: async (redisUrl) =>
        (await import('./apps/fastify-session.app.js')).fastifySessionApp(redisUrl, { rolling: true }),
    },
  ],
};

/** What is measured on `platform`, in the order of the table. */
export function variantsOf(platform: Platform): readonly Variant[] {
  return [...common, ...peers[platform]];
}
