import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { RedisServer } from '../../../test/support/redis-server.js';
import { ANSWERS, pasteCommands } from '../../02-auth-api/e2e/pasted-commands.js';
import { SampleProcess } from '../../support/sample-process.js';

const MAIN = new URL('../src/main.ts', import.meta.url);

describe.each(['memory', 'redis'])('the process of 03-browser, outside production, on %s', (store) => {
  let redis: RedisServer | undefined;
  let main: SampleProcess;

  beforeAll(async () => {
    if (store === 'redis') redis = await RedisServer.start();
    main = new SampleProcess(MAIN, { PORT: '0', ...(redis ? { REDIS_URL: redis.url } : {}) });
  });

  afterAll(async () => {
    await main.stop();
    await redis?.stop();
  });

  it('prints where to open the page, and who can sign in there', async () => {
    const [, url = '', username, password] = await main.prints(/Open +(\S+)\n +Sign in +(\S+)\n +Password +(.+)\n/);

    const page = await fetch(url);
    const signIn = await fetch(`${url}/api/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ username, password }),
    });

    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(signIn.status).toBe(204);
    await fetch(`${url}/api/auth/logout-all`, {
      method: 'POST',
      headers: { cookie: signIn.headers.get('set-cookie') ?? '', 'sec-fetch-site': 'same-origin' },
    });
  });

  it('serves the API of 02-auth-api: the printed commands work when they are pasted', async () => {
    expect(await pasteCommands(main)).toMatchObject(ANSWERS);
  });

  it('describes the API at /docs, with the cookie as a way to send the token', async () => {
    const [url] = await main.prints(/http:\S+(?=,)/);

    const page = await fetch(`${url}/docs`);
    const description = (await (await fetch(`${url}/docs-json`)).json()) as ApiDescription;

    expect([page.status, page.headers.get('content-security-policy')]).toEqual([
      200,
      expect.stringContaining("script-src 'self';"),
    ]);
    expect(description.components.securitySchemes).toMatchObject({
      cookie: { type: 'apiKey', in: 'cookie', name: '__Host-session' },
    });
    const ways = [{ bearer: [] }, { 'X-Session-Token': [] }, { cookie: [] }];
    for (const path of ['/api/user/profile', '/api/devices']) {
      expect(description.paths[path]?.get?.security).toHaveLength(ways.length);
      expect(description.paths[path]?.get?.security).toEqual(expect.arrayContaining(ways));
    }
    expect(description.paths['/api/sign-in']?.post).not.toHaveProperty('security');
  });

  it('ends in peace on SIGTERM', async () => {
    await main.prints(/Listening on/);

    await main.stop();

    expect(main.output).not.toMatch(/error/i);
  });
});

describe('the process of 03-browser in production', () => {
  it('does not start without SESSION_SECRET', async () => {
    const main = new SampleProcess(MAIN, { PORT: '0', NODE_ENV: 'production' });

    expect(await main.exitCode()).toBe(1);
    expect(main.output).toContain('SESSION_SECRET is not set. In production it must be');
  });

  it('prints no password', async () => {
    const SESSION_SECRET = 'a key of this test only, 0123456789abcdef';
    const main = new SampleProcess(MAIN, { PORT: '0', NODE_ENV: 'production', SESSION_SECRET });
    await main.prints(/Listening on (\S+)\n/);

    await main.stop();

    expect(main.output).not.toContain('correct horse');
  });
});

interface ApiDescription {
  readonly components: { readonly securitySchemes: object };
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: object[] }>>>>;
}
