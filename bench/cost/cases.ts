import type { Platform } from '../http/apps/app-definition.js';

/** One kind of request whose cost is counted. */
export interface CostCase {
  readonly name: string;
  readonly label: string;
  readonly platform: Platform;
  /** A variant of `bench/http`, which serves it. */
  readonly variant: 'bare' | 'limit' | 'redis' | 'redis-cookie' | 'memory' | 'memcached';
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Whether the client is signed in. */
  readonly signedIn: boolean;
}

const READS = [
  { name: 'bare', label: 'bare Nest', variant: 'bare', path: '/me' },
  { name: 'unused', label: 'a route that uses no session', variant: 'redis', path: '/unused' },
  { name: 'limit', label: 'GET + JSON.parse in a hook', variant: 'limit', path: '/me' },
  { name: 'read', label: 'read, Redis, by header', variant: 'redis', path: '/me' },
  { name: 'read-cookie', label: 'read, Redis, by cookie', variant: 'redis-cookie', path: '/me' },
  { name: 'read-memory', label: 'read, memory, by header', variant: 'memory', path: '/me' },
  { name: 'read-memcached', label: 'read, Memcached, by header', variant: 'memcached', path: '/me' },
  { name: 'write', label: 'a change of data, Redis', variant: 'redis', path: '/visit' },
] as const;

function casesOf(platform: Platform): CostCase[] {
  return [
    ...READS.map(({ name, label, variant, path }): CostCase => {
      const signedIn = variant !== 'bare' && path !== '/unused';
      return { name: `${platform}/${name}`, label, platform, variant, method: 'GET', path, signedIn };
    }),
    {
      name: `${platform}/login`,
      label: 'login, Redis',
      platform,
      variant: 'redis',
      method: 'POST',
      path: '/login',
      signedIn: false,
    },
  ];
}

export const CASES: readonly CostCase[] = [...casesOf('fastify'), ...casesOf('express')];
