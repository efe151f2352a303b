import type { Platform } from './apps/app-definition.js';

/** What the ratio of two variants is to be. For requests per second more is better, so `atLeast`; for CPU time less is, so it is turned over. */
export interface Target {
  readonly ours: string;
  readonly other: string;
  readonly connections: number;
  readonly atLeast: number;
  readonly aim: number;
}

export const TARGETS: Record<Platform, readonly Target[]> = {
  fastify: [
    { ours: 'redis', other: 'limit', connections: 64, atLeast: 0.9, aim: 1 },
    { ours: 'redis-cookie', other: 'limit', connections: 64, atLeast: 0.85, aim: 1 },
    { ours: 'redis', other: 'limit', connections: 8, atLeast: 0.8, aim: 0.95 },
    { ours: 'redis', other: 'limit', connections: 256, atLeast: 0.88, aim: 0.95 },
    { ours: 'redis', other: 'peer', connections: 64, atLeast: 1.6, aim: 1.8 },
    { ours: 'redis', other: 'peer-rolling', connections: 64, atLeast: 2.4, aim: 2.7 },
    { ours: 'memory', other: 'limit', connections: 64, atLeast: 0.75, aim: 1 },
    { ours: 'memcached', other: 'limit', connections: 64, atLeast: 0.55, aim: 0.7 },
    { ours: 'unused', other: 'bare', connections: 64, atLeast: 0.99, aim: 1 },
    { ours: 'unused', other: 'bare-of-size', connections: 64, atLeast: 0.99, aim: 1 },
    { ours: 'redis-64k', other: 'redis', connections: 64, atLeast: 1 / 3.5, aim: 1 / 3.5 },
  ],
  express: [
    { ours: 'redis', other: 'peer', connections: 64, atLeast: 1.35, aim: 1.5 },
    { ours: 'memory', other: 'peer-memory', connections: 64, atLeast: 1.7, aim: 2 },
    { ours: 'unused', other: 'bare', connections: 64, atLeast: 0.99, aim: 1 },
    { ours: 'unused', other: 'bare-of-size', connections: 64, atLeast: 0.99, aim: 1 },
  ],
};
