import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { RedisServer } from '../../../test/support/redis-server.js';
import { SampleProcess } from '../../support/sample-process.js';
import { ADMIN, ALICE, Client } from './client.js';
import type { Question } from './serve.js';

const HEADERS = { 'user-agent': 'a header test/1.0', 'x-forwarded-for': '192.0.2.1' };
const SESSION_SECRET = 'a key of these tests only, 0123456789abcdef';

interface ApiDescription {
  readonly components: { readonly securitySchemes: object };
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: object[] }>>>>;
}

/** One for all stores: to start it costs more than the tests. */
let server: SampleProcess;

beforeAll(() => {
  server = new SampleProcess(new URL('./serve.ts', import.meta.url));
});

afterAll(() => server.stop());

describe.each(['memory', 'redis'])('02-auth-api on %s', (store) => {
  let redis: RedisServer | undefined;
  let url: string;

  beforeAll(async () => {
    if (store === 'redis') redis = await RedisServer.start();
    await serve();
  });

  afterAll(async () => {
    await ask({ serve: null });
    await redis?.stop();
  });

  /** An application in which nobody is logged in. The tests play a proxy in front of it: so they can come from any address. */
  async function serve(): Promise<void> {
    const environment = { SESSION_SECRET, TRUST_PROXY: 'loopback', ...(redis ? { REDIS_URL: redis.url } : {}) };
    ({ url } = (await ask({ serve: environment })) as { url: string });
  }

  const ask = (question: Question): Promise<unknown> => server.ask(question);

  const device = (headers?: Record<string, string>): Promise<Client> => new Client(url, headers).logIn();

  describe('a session from login to log-out', () => {
    beforeEach(serve);

    it('shows the profile with the times of the session', async () => {
      const before = Date.now();
      const alice = await device();

      const response = await alice.get('/api/user/profile');

      expect(response.status).toBe(200);
      const profile = (await response.json()) as { createdAt: string; lastAccessed: string };
      expect(profile).toEqual({
        user: { userId: '1', username: 'alice', email: 'alice@example.com', roles: ['user'] },
        createdAt: expect.any(String),
        lastAccessed: expect.any(String),
      });
      const createdAt = Date.parse(profile.createdAt);
      expect(createdAt).toBeGreaterThanOrEqual(before);
      expect(Date.parse(profile.lastAccessed)).toBeGreaterThanOrEqual(createdAt);
    });

    it('answers the login with a message, the token and the user with the roles', async () => {
      const login = await new Client(url).post('/api/auth/login', ADMIN);

      expect(await login.json()).toEqual({
        message: 'Login successful',
        token: expect.any(String),
        user: { username: 'admin', roles: ['admin', 'user'] },
      });
    });

    it('takes the token in X-Session-Token too', async () => {
      const { token } = await device(HEADERS);

      const response = await fetch(`${url}/api/user/profile`, { headers: { ...HEADERS, 'x-session-token': token! } });

      expect(response.status).toBe(200);
    });

    it('keeps a new e-mail address and a chosen theme', async () => {
      const alice = await device();

      const update = await alice.post('/api/user/update', { email: 'alice@example.org', theme: 'dark' });

      expect([update.status, await update.json()]).toEqual([200, { message: 'Updated' }]);
      expect(await (await alice.get('/api/user/profile')).json()).toMatchObject({
        user: { email: 'alice@example.org' },
        theme: 'dark',
      });
    });

    it('uses the new e-mail address at the next login', async () => {
      await (await device()).post('/api/user/update', { email: 'alice@example.org' });

      const profile = await (await device()).get('/api/user/profile');

      expect(await profile.json()).toMatchObject({ user: { email: 'alice@example.org' } });
    });

    it('hands the message of the login out exactly once, to parallel requests too', async () => {
      const alice = await device();

      const answers = await Promise.all(
        Array.from({ length: 10 }, async () => (await alice.get('/api/messages')).json()),
      );

      const messages = answers.flatMap((answer) => (answer as { messages: object[] }).messages);
      expect(messages).toEqual([{ message: 'Login successful!', category: 'success', timestamp: expect.any(String) }]);
      expect(await (await alice.get('/api/messages')).json()).toEqual({ messages: [] });
    });

    it('ends with the log-out, on this device only', async () => {
      const phone = await device();
      const laptop = await device();

      const logout = await phone.post('/api/auth/logout');

      expect([logout.status, await logout.json()]).toEqual([200, { message: 'Logged out' }]);
      expect((await phone.get('/api/user/profile')).status).toBe(401);
      expect((await laptop.get('/api/user/profile')).status).toBe(200);
    });

    it('ends on all devices with logout-all', async () => {
      const devices = [await device(), await device(), await device()];

      const answer = await devices[0]!.post('/api/auth/logout-all');

      expect([answer.status, await answer.json()]).toEqual([200, { message: 'Logged out from 3 devices' }]);
      const statuses = await Promise.all(devices.map(async (client) => (await client.get('/api/user/profile')).status));
      expect(statuses).toEqual([401, 401, 401]);
    });
  });

  describe('what the login refuses', () => {
    it('answers an unknown user and a wrong password alike', async () => {
      const anybody = new Client(url);

      const wrongPassword = await anybody.post('/api/auth/login', { ...ALICE, password: 'guess' });
      const unknownUser = await anybody.post('/api/auth/login', { ...ALICE, username: 'mallory' });

      expect([wrongPassword.status, unknownUser.status]).toEqual([401, 401]);
      expect(await wrongPassword.text()).toBe(await unknownUser.text());
    });

    it.each([
      ['nothing', undefined],
      ['no password', { username: 'alice' }],
      ['an empty name', { ...ALICE, username: '' }],
      ['a list of names', { ...ALICE, username: ['alice'] }],
      ['a password of 10,000 characters', { ...ALICE, password: 'x'.repeat(10_000) }],
      ['a text for a choice', { ...ALICE, remember: 'on' }],
      ['a field of its own invention', { ...ALICE, isAdmin: true }],
    ])('400 for %s', async (_, body) => {
      expect((await new Client(url).post('/api/auth/login', body)).status).toBe(400);
    });

    it('429 for the eleventh attempt within a minute, from this address only', async () => {
      const from = (address: string): Client => new Client(url, { 'x-forwarded-for': address });
      const attempts = Array.from({ length: 10 }, () => from('203.0.113.1').post('/api/auth/login', {}));
      const statuses = (await Promise.all(attempts)).map(({ status }) => status);

      const eleventh = await from('203.0.113.1').post('/api/auth/login', ALICE);
      const neighbour = await from('203.0.113.2').post('/api/auth/login', ALICE);

      expect(new Set(statuses)).toEqual(new Set([400]));
      expect(eleventh.status).toBe(429);
      expect(Number(eleventh.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(neighbour.status).toBe(200);
    });

    it('limits no other route', async () => {
      const alice = await device();

      const statuses = await Promise.all(
        Array.from({ length: 30 }, async () => (await alice.get('/api/user/profile')).status),
      );

      expect(new Set(statuses)).toEqual(new Set([200]));
    });
  });

  describe('what an update refuses', () => {
    it.each([
      ['what is no e-mail address', { email: 'alice' }],
      ['null for one', { email: null }],
      ['an unknown theme', { theme: 'pink' }],
      ['another field of the user', { userId: '2' }],
    ])('400 for %s, and nothing changes', async (_, body) => {
      const alice = await device();

      const update = await alice.post('/api/user/update', body);

      expect(update.status).toBe(400);
      expect(await (await alice.get('/api/user/profile')).json()).toMatchObject({
        user: { userId: '1', email: 'alice@example.com' },
      });
    });
  });

  describe('what needs a role', () => {
    it('shows all users to an administrator', async () => {
      await serve();
      const admin = await new Client(url).logIn(ADMIN);

      const users = await admin.get('/api/admin/users');

      expect([users.status, await users.json()]).toEqual([
        200,
        [
          { userId: '1', username: 'alice', email: 'alice@example.com', roles: ['user'] },
          { userId: '100', username: 'admin', email: 'admin@example.com', roles: ['admin', 'user'] },
        ],
      ]);
    });

    it('is closed to other users, and to clients without a session', async () => {
      const refused = await (await device()).get('/api/admin/users');

      expect([refused.status, await refused.json()]).toEqual([
        403,
        { statusCode: 403, message: 'Forbidden', code: 'ROLE_MISSING' },
      ]);
      expect((await new Client(url).get('/api/admin/users')).status).toBe(401);
    });
  });

  describe('what needs the password again', () => {
    beforeEach(serve);

    it('is the change of the e-mail address, five minutes after the login', async () => {
      const alice = await device();
      await ask({ advanceSeconds: 301 });

      const update = await alice.post('/api/user/update', { email: 'alice@example.org' });

      expect(update.status).toBe(401);
      expect(update.headers.get('www-authenticate')).toBe(
        'Bearer error="insufficient_user_authentication", max_age="300"',
      );
      expect(await update.json()).toMatchObject({ code: 'PROOF_TOO_OLD' });
      const profile = await alice.get('/api/user/profile');
      expect(await profile.json()).toMatchObject({ user: { email: 'alice@example.com' } });
    });

    it('goes on with the token that the confirmation answers, and the old one is dead', async () => {
      const alice = await device();
      await ask({ advanceSeconds: 301 });

      const confirmed = await alice.post('/api/auth/confirm', { password: ALICE.password });

      const { message, token } = (await confirmed.json()) as { message: string; token: string };
      expect([confirmed.status, message]).toEqual([200, 'Password confirmed']);
      expect((await alice.get('/api/user/profile')).status).toBe(401);
      alice.token = token;
      expect((await alice.post('/api/user/update', { email: 'alice@example.org' })).status).toBe(200);
    });

    it('stays closed after a wrong password, and the session goes on', async () => {
      const alice = await device();
      await ask({ advanceSeconds: 301 });

      const confirmed = await alice.post('/api/auth/confirm', { password: 'guess' });

      expect(confirmed.status).toBe(403);
      expect((await alice.post('/api/user/update', { theme: 'dark' })).status).toBe(401);
      expect((await alice.get('/api/user/profile')).status).toBe(200);
    });

    it('takes ten guesses a minute from one address', async () => {
      const alice = await device();

      const guesses = Array.from({ length: 11 }, () => alice.post('/api/auth/confirm', { password: 'guess' }));
      const statuses = (await Promise.all(guesses)).map(({ status }) => status).sort();

      expect(statuses).toEqual([...Array.from({ length: 10 }, () => 403), 429]);
    });
  });

  describe('who may come with a token', () => {
    it.each(['/api/user/profile', '/api/messages'])('nobody without one: GET %s', async (path) => {
      const response = await new Client(url).get(path);

      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
    });

    it.each(['/api/user/update', '/api/auth/confirm', '/api/auth/logout', '/api/auth/logout-all'])(
      'nobody without one: POST %s',
      async (path) => {
        expect((await new Client(url).post(path, {})).status).toBe(401);
      },
    );

    it('only the User-Agent that logged in', async () => {
      const alice = await device();

      expect((await alice.get('/api/user/profile', { 'user-agent': 'another/1.0' })).status).toBe(401);
      expect((await alice.get('/api/user/profile')).status).toBe(200);
    });

    it('only the address that logged in', async () => {
      const alice = await device({ 'x-forwarded-for': '192.0.2.1' });

      expect((await alice.get('/api/user/profile', { 'x-forwarded-for': '192.0.2.2' })).status).toBe(401);
      expect((await alice.get('/api/user/profile')).status).toBe(200);
    });

    it('an IPv6 address of the same /64', async () => {
      const alice = await device({ 'x-forwarded-for': '2001:db8:0:1::1' });

      expect((await alice.get('/api/user/profile', { 'x-forwarded-for': '2001:db8:0:1:a:b:c:d' })).status).toBe(200);
      expect((await alice.get('/api/user/profile', { 'x-forwarded-for': '2001:db8:0:2::1' })).status).toBe(401);
    });
  });

  it('sends security headers with every answer, and lets nobody cache the API', async () => {
    const alice = await device();

    const answers = await Promise.all([
      alice.get('/api/user/profile'),
      new Client(url).get('/api/user/profile'),
      new Client(url).get('/nowhere'),
      new Client(url).get('/docs'),
    ]);

    for (const { headers } of answers) {
      expect(headers.get('content-security-policy')).toMatch(/^default-src '(self|none)'/);
      expect(headers.get('strict-transport-security')).toContain('max-age=');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
      expect(headers.has('x-powered-by')).toBe(false);
    }
    expect(answers.slice(0, 2).map(({ headers }) => headers.get('cache-control'))).toEqual(['no-store', 'no-store']);
  });

  it('describes itself with both ways to send the token', async () => {
    const description = (await (await fetch(`${url}/docs-json`)).json()) as ApiDescription;

    expect(description.components.securitySchemes).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
      'X-Session-Token': { type: 'apiKey', in: 'header', name: 'X-Session-Token' },
    });
    expect(description.paths['/api/user/profile']?.get?.security).toEqual(
      expect.arrayContaining([{ bearer: [] }, { 'X-Session-Token': [] }]),
    );
    expect(description.paths['/api/auth/login']?.post).not.toHaveProperty('security');
    expect((await fetch(`${url}/docs`)).headers.get('content-type')).toContain('text/html');
  });
});
