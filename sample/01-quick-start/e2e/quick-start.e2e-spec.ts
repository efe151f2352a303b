import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';

import { AppModule } from '../src/app.module.js';

describe('01-quick-start', () => {
  let app: INestApplication;
  let url: string;

  beforeEach(async () => {
    app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });

  afterEach(() => app.close());

  const login = (body: object): Promise<Response> =>
    fetch(`${url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  const logInAsAlice = async (): Promise<{ headers: Record<string, string> }> => {
    const { token } = (await (await login({ username: 'alice', password: 'wonderland' })).json()) as { token: string };
    return { headers: { authorization: `Bearer ${token}` } };
  };

  it('gives a token for the right password, and a profile for the token', async () => {
    const alice = await logInAsAlice();

    const profile = await fetch(`${url}/profile`, alice);

    expect(profile.status).toBe(200);
    expect(await profile.json()).toMatchObject({ userId: '1', username: 'alice' });
  });

  it.each([
    ['a wrong password', { username: 'alice', password: 'guess' }],
    ['an unknown user', { username: 'bob', password: 'wonderland' }],
    ['nothing', {}],
  ])('refuses %s', async (_, body) => {
    expect((await login(body)).status).toBe(401);
  });

  it('keeps the profile from who has no token', async () => {
    expect((await fetch(`${url}/profile`)).status).toBe(401);
  });

  it('greets guests and users on the public route', async () => {
    const alice = await logInAsAlice();

    expect(await (await fetch(`${url}/public`)).text()).toBe('Hello, guest!');
    expect(await (await fetch(`${url}/public`, alice)).text()).toBe('Hello, alice!');
  });

  it('knows the token no more after the log-out', async () => {
    const alice = await logInAsAlice();

    const logout = await fetch(`${url}/logout`, { method: 'POST', ...alice });

    expect(logout.status).toBe(204);
    expect((await fetch(`${url}/profile`, alice)).status).toBe(401);
  });
});
