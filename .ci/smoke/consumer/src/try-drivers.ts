import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import type { SessionBackend } from 'nestjs-sessionx';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

import { AppModule } from './app.js';

/**
 * Boots the application on each backend that has a driver. Their own tests need servers; that the package finds the application's driver
 * and works with it shows without one, in the 503 that is the answer while the store is down.
 */
export async function tryDrivers(): Promise<void> {
  const port = await closedPort();
  await tryOn(new RedisBackend({ host: '127.0.0.1', port }));

  const client = new Redis({ ...sessionRedisOptions(200), host: '127.0.0.1', port });
  client.on('error', () => undefined);
  await tryOn(new RedisBackend(client));
  client.disconnect();
}

async function tryOn(backend: SessionBackend): Promise<void> {
  const app = await NestFactory.create(AppModule.with({ backend, backendTimeout: 200 }), { logger: false });
  await app.listen(0, '127.0.0.1');
  try {
    const login = await fetch(`${await app.getUrl()}/login`, { method: 'POST' });
    assert.equal(login.status, 503, 'a login while the store is down');
  } finally {
    await app.close();
  }
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
