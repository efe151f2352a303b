import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';
import { WebSocketGateway } from '@nestjs/websockets';
import { Redis } from 'ioredis';
import { EndsWithSession, type SessionBackend } from 'nestjs-sessionx';
import { RedisBackend, sessionRedisOptions } from 'nestjs-sessionx/redis';
import { SessionWsAdapter } from 'nestjs-sessionx/ws';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';

import { AppModule } from './app.js';

@EndsWithSession()
@WebSocketGateway()
class Gateway {}

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

  await tryGateway();
}

/** A client opens a connection, which a page of another site cannot with the cookie of a user. */
async function tryGateway(): Promise<void> {
  const app = await NestFactory.create(AppModule.with({ tokenSourcePriority: ['header', 'cookie'] }, [Gateway]), {
    logger: false,
  });
  app.useWebSocketAdapter(new SessionWsAdapter(app));
  await app.listen(0, '127.0.0.1');
  try {
    const url = await app.getUrl();
    const login = await fetch(`${url}/login`, { method: 'POST' });
    const { token } = (await login.json()) as { token: string };
    const cookie = `__Host-session=${token}`;
    assert.equal(await upgrade(url, { cookie }), 101, 'a connection');
    assert.equal(await upgrade(url, { cookie, origin: 'https://other.example' }), 403, 'that of another site');
  } finally {
    await app.close();
  }
}

function upgrade(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const client = request(url, {
      headers: {
        ...headers,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AQEBAQEBAQEBAQEBAQEBAQ==',
      },
    });
    client.on('upgrade', ({ statusCode }, socket) => {
      socket.destroy();
      resolve(statusCode);
    });
    client.on('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    client.on('error', reject).end();
  });
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
