import 'reflect-metadata';

import { Logger, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AddressInfo, Server } from 'node:net';

import type { AppDefinition, Platform, Stores } from './apps/app-definition.js';
import { variantsOf } from './variants.js';

/** Serves a variant on a free port of this machine, in this process, and returns the port. */
export async function serve(platform: Platform, name: string, stores: Stores): Promise<number> {
  const variant = variantsOf(platform).find((candidate) => candidate.name === name);
  if (variant === undefined) throw new Error(`There is no variant '${name}' on ${platform}.`);
  Logger.overrideLogger(['error']);
  const definition = await variant.define(stores);
  const app = await createApp(platform, definition);
  await definition.configure?.(app);
  await app.listen(0, '127.0.0.1');
  return ((app.getHttpServer() as Server).address() as AddressInfo).port;
}

async function createApp(platform: Platform, { module }: AppDefinition): Promise<INestApplication> {
  if (platform === 'express') return NestFactory.create(module);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(module, new FastifyAdapter());
}
