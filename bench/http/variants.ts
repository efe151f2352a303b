import type { AppDefinition, Platform, Stores } from './apps/app-definition.js';

/** One line of the table. */
export interface Variant {
  readonly name: string;
  readonly label: string;
  /** Of the route that is measured. */
  readonly path: string;
  /** Loads no more than the variant needs, in the process that serves it. */
  define(stores: Stores): Promise<AppDefinition>;
}

function common(platform: Platform): readonly Variant[] {
  const sessionx = () => import('./apps/sessionx.app.js');
  return [
    {
      name: 'bare',
      label: 'bare Nest',
      path: '/me',
      define: async () => (await import('./apps/bare.app.js')).bareApp(),
    },
    {
      name: 'bare-of-size',
      label: 'bare Nest beside class-validator and Redis',
      path: '/me',
      define: async (stores) => (await import('./apps/bare.app.js')).bareAppOfSize(stores),
    },
    {
      name: 'unused',
      label: 'sessionx installed, route uses none',
      path: '/unused',
      define: async (stores) => (await sessionx()).sessionxOnRedis(stores),
    },
    {
      name: 'limit',
      label: 'LIMIT: GET + JSON.parse in a hook',
      path: '/me',
      define: async (stores) => (await import('./apps/limit.app.js')).limitApp(stores, platform),
    },
    {
      name: 'redis',
      label: 'sessionx on Redis',
      path: '/me',
      define: async (stores) => (await sessionx()).sessionxOnRedis(stores),
    },
    {
      name: 'redis-cookie',
      label: 'sessionx on Redis, by cookie',
      path: '/me',
      define: async (stores) => (await sessionx()).sessionxByCookie(stores),
    },
    {
      name: 'redis-64k',
      label: 'sessionx on Redis, 64 KB of data that no handler reads',
      path: '/me',
      define: async (stores) => (await sessionx()).sessionxWithLargeData(stores),
    },
    {
      name: 'memory',
      label: 'sessionx on memory',
      path: '/me',
      define: async () => (await sessionx()).sessionxOnMemory(),
    },
    {
      name: 'memcached',
      label: 'sessionx on Memcached',
      path: '/me',
      define: async (stores) => (await sessionx()).sessionxOnMemcached(stores),
    },
    {
      name: 'memcached-one-user',
      label: 'sessionx on Memcached, all sessions of one user',
      path: '/me',
      define: async (stores) => (await sessionx()).sessionxOfOneUser(stores),
    },
  ];
}

const peers: Record<Platform, readonly Variant[]> = {
  express: [
    {
      name: 'peer',
      label: 'express-session',
      path: '/me',
      define: async (stores) =>
        (await import('./apps/express-session.app.js')).expressSessionOnRedis(stores, { rolling: false }),
    },
    {
      name: 'peer-rolling',
      label: 'express-session, rolling',
      path: '/me',
      define: async (stores) =>
        (await import('./apps/express-session.app.js')).expressSessionOnRedis(stores, { rolling: true }),
    },
    {
      name: 'peer-memory',
      label: 'express-session, its MemoryStore',
      path: '/me',
      define: async () => (await import('./apps/express-session.app.js')).expressSessionOnMemory(),
    },
  ],
  fastify: [
    {
      name: 'peer',
      label: '@fastify/session',
      path: '/me',
      define: async (stores) =>
        (await import('./apps/fastify-session.app.js')).fastifySessionApp(stores, { rolling: false }),
    },
    {
      name: 'peer-rolling',
      label: '@fastify/session, rolling',
      path: '/me',
      define: async (stores) =>
        (await import('./apps/fastify-session.app.js')).fastifySessionApp(stores, { rolling: true }),
    },
  ],
};

/** What is measured on `platform`, in the order of the table. */
export function variantsOf(platform: Platform): readonly Variant[] {
  return [...common(platform), ...peers[platform]];
}
