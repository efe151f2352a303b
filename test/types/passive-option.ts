import type { Request } from 'express';
import type { FastifyRequest } from 'fastify';
import type { SessionModuleOptions } from 'nestjs-sessionx';

type Passive = SessionModuleOptions['passive'];

/** Compiles if the option takes functions of every request that it may be called with. */
export const passive: readonly Passive[] = [
  undefined,
  ({ url, method, headers }) => url.startsWith('/poll') && method === 'GET' && headers['x-poll'] !== undefined,
  (request: Request) => request.path === '/poll',
  (request: FastifyRequest) => request.routeOptions.url === '/poll',
  // @ts-expect-error: it cannot be async
  async () => Promise.resolve(true),
];
