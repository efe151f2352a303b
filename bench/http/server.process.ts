// Serves one variant on a free port. Arguments: platform, variant, URL of Redis.
import 'reflect-metadata';

import { Logger, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AddressInfo, Server } from 'node:net';

import type { AppDefinition, Platform } from './apps/app-definition.js';
import type { CpuUsed, Listening } from './messages.js';
import { variantsOf } from './variants.js';

const [platform, name, redisUrl] = process.argv.slice(2) as [Platform, string, string];
const variant = variantsOf(platform).find((candidate) => candidate.name === name);
if (variant === undefined) throw new Error(`There is no variant '${name}'.`);

Logger.overrideLogger(['error']);
const definition = await variant.define(redisUrl);
const app = await createApp(platform, definition);
await definition.configure?.(app);
await app.listen(0, '127.0.0.1');
const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
send({ port });

process.on('message', () => {
  send(process.cpuUsage());
});
// The benchmark is through, or gone.
process.on('disconnect', () => process.exit());

async function createApp(platform: Platform, { module }: AppDefinition): Promise<INestApplication> {
  if (platform === 'express') return NestFactory.create(module);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(module, new FastifyAdapter());
}

function send(message: Listening | CpuUsed): void {
  process.send?.(message);
}
