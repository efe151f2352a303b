import 'reflect-metadata';

import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { SESSION_CLOCK } from 'nestjs-sessionx';
import { FakeClock, logIn } from 'nestjs-sessionx/testing';
import assert from 'node:assert/strict';

import { AppModule } from './app.js';

/** Boots the application on both adapters and does with it what its users do. */
export async function tryOut(tokenFormat: 'simple' | 'jwt' = 'simple'): Promise<void> {
  await tryOn(() => new ExpressAdapter(), tokenFormat);
  await tryOn(() => new FastifyAdapter(), tokenFormat);
}

async function tryOn(newAdapter: () => ExpressAdapter | FastifyAdapter, tokenFormat: 'simple' | 'jwt'): Promise<void> {
  const clock = new FakeClock();
  const extraProviders = [{ provide: SESSION_CLOCK, useValue: clock }];
  const module = AppModule.with({ sessionTtl: 60, tokenFormat, extraProviders });
  const app = await NestFactory.create(module, newAdapter(), { logger: ['error'] });
  await app.listen(0, '127.0.0.1');
  try {
    const url = await app.getUrl();
    await logInAndOut(url);
    await useTestingEntry(app, url, clock);
  } finally {
    await app.close();
  }
}

async function logInAndOut(url: string): Promise<void> {
  assert.equal((await fetch(`${url}/profile`)).status, 401, 'a profile without a token');

  const login = await fetch(`${url}/login`, { method: 'POST' });
  assert.equal(login.status, 200, 'a login');
  const { token } = (await login.json()) as { token: string };

  const headers = { authorization: `Bearer ${token}` };
  assert.equal(await (await fetch(`${url}/profile`, { headers })).text(), '{"userId":"alice","visits":1}');
  assert.equal(await (await fetch(`${url}/profile`, { headers })).text(), '{"userId":"alice","visits":2}');

  assert.equal((await fetch(`${url}/logout`, { method: 'POST', headers })).status, 204, 'a logout');
  assert.equal((await fetch(`${url}/profile`, { headers })).status, 401, 'a profile after the logout');
}

/** This entry asks the application for a class of the main one; were that another copy, the application would not know it. */
async function useTestingEntry(app: INestApplication, url: string, clock: FakeClock): Promise<void> {
  const { headers } = await logIn(app, { userId: 'bob' });
  assert.equal((await fetch(`${url}/profile`, { headers })).status, 200, 'a profile after logIn()');
  clock.advanceSeconds(61);
  assert.equal((await fetch(`${url}/profile`, { headers })).status, 401, 'a profile after the expiry');
}
