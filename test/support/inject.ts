import type { INestApplication } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { RequestListener } from 'node:http';
import type { createRequire } from 'node:module';
import { runInThisContext } from 'node:vm';

type Inject = (handler: RequestListener, options: InjectOptions) => Promise<LightMyRequestResponse>;

/**
 * What `inject()` of Fastify does. That one loads its library in the way of Jest, which cannot load it; here Node does. It is the same
 * library.
 */
export async function inject(app: INestApplication, options: InjectOptions): Promise<LightMyRequestResponse> {
  const node = runInThisContext("process.getBuiltinModule('node:module')") as { createRequire: typeof createRequire };
  const fastifysRequire = node.createRequire(node.createRequire(import.meta.url).resolve('fastify'));
  const lightMyRequest = fastifysRequire('light-my-request') as Inject;
  const fastify = app.get<HttpAdapterHost<FastifyAdapter>>(HttpAdapterHost).httpAdapter.getInstance<FastifyInstance>();
  await fastify.ready();
  return lightMyRequest((request, response) => {
    fastify.routing(request, response);
  }, options);
}
