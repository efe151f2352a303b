import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication, Type } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { transform } from '@swc/core';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  MemoryBackend,
  Session,
  SessionCookieOptions,
  SessionCsrfOptions,
  SessionModule,
  SessionService,
  type SessionBackend,
} from 'nestjs-sessionx';
import { backendConformance } from 'nestjs-sessionx/testing';

import { validateOptions } from '../../src/options/validate-options.js';
import { PLATFORMS, SECRET_KEY } from '../support/apps.js';

const root = join(import.meta.dirname, '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const optionsSection = /## Options\n[^]*?\n## /.exec(readme)?.[0] ?? '';
const examples = new Map(
  [...readme.matchAll(/```ts\n\/\/ readme\/([\w-]+)\n([^]*?)```/g)].map(([, name, code]) => [name!, code!]),
);

describe('the examples of the README', () => {
  let folder: string;

  beforeAll(() => {
    mkdirSync(join(root, 'test', 'output'), { recursive: true });
    folder = mkdtempSync(join(root, 'test', 'output', 'readme-'));
    for (const [name, code] of examples) writeFileSync(join(folder, `${name}.ts`), code);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are all of its TypeScript', () => {
    expect(readme.match(/```ts\n/g)).toHaveLength(examples.size);
    expect(examples.size).toBeGreaterThan(8);
  });

  it('compile', () => {
    const config = { extends: '../../../tsconfig.json', compilerOptions: { rootDir: root }, include: ['*.ts'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, error, stdout, stderr } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect({ status, error, stdout, stderr }).toEqual({ status: 0, error: undefined, stdout: '', stderr: '' });
  }, 120_000);

  async function load(name: string): Promise<Record<string, unknown>> {
    const { code } = await transform(examples.get(name) ?? '', {
      jsc: {
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
        target: 'es2022',
      },
      module: { type: 'es6' },
    });
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, code);
    return (await import(file)) as Record<string, unknown>;
  }

  async function serve(module: object, controllers: unknown[]): Promise<INestApplication> {
    const testing = await Test.createTestingModule({
      imports: [module as Type],
      controllers: controllers as Type[],
    }).compile();
    const app = testing.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    return app;
  }

  it('run: the quick start signs in, shows the profile and signs out', async () => {
    process.env.SESSION_SECRET = SECRET_KEY;
    const { AppModule } = await load('quick-start');
    const app = await serve(AppModule as object, []);
    const url = await app.getUrl();
    const credentials = { username: 'ann', password: 'correct horse' };
    const login = await fetch(`${url}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(credentials),
    });
    for (const body of [undefined, '', '{}', '{"username":"ann"}', '{"username":"","password":""}', '[]']) {
      const headers = { 'content-type': 'application/json' };
      const refused = await fetch(`${url}/login`, { method: 'POST', headers, ...(body === undefined ? {} : { body }) });
      expect(refused.status).toBe(400);
    }
    const { token } = (await login.json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    expect(await (await fetch(`${url}/profile`, { headers })).json()).toMatchObject({ userId: 'ann' });
    expect(await (await fetch(`${url}/public`, { headers })).text()).toBe('Hello, ann!');
    expect(await (await fetch(`${url}/logout`, { method: 'POST', headers })).json()).toEqual({ loggedOut: true });
    expect((await fetch(`${url}/profile`, { headers })).status).toBe(401);
    await app.close();
  });

  it('run: the recipes for devices, cart, counter and tests', async () => {
    const { AppController } = await load('quick-start');
    const { DevicesController } = await load('devices');
    const { CartController } = await load('cart');
    const { VisitCounter } = await load('update');
    const { SessionAudit } = await load('events');
    const { itemsInCart } = await load('types');
    const { profileOfAlice } = await load('testing');
    const testing = await Test.createTestingModule({
      imports: [SessionModule.forRoot({ secretKey: SECRET_KEY })],
      controllers: [AppController, DevicesController, CartController] as Type[],
      providers: [VisitCounter, SessionAudit] as Type[],
    }).compile();
    const app = testing.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const sessions = app.get(SessionService);

    const first = await sessions.createSession({ user: { userId: 'ann' } });
    const second = await sessions.createSession({ user: { userId: 'ann' } });
    const headers = { authorization: `Bearer ${first.token}` };
    expect(await (await fetch(`${url}/devices`, { headers })).json()).toHaveLength(2);
    const foreign = await sessions.createSession({ user: { userId: 'bob' } });
    expect((await fetch(`${url}/devices/${foreign.session.sessionId}`, { method: 'DELETE', headers })).status).toBe(
      404,
    );
    expect((await fetch(`${url}/devices/${second.session.sessionId}`, { method: 'DELETE', headers })).status).toBe(200);
    expect(await (await fetch(`${url}/devices/others`, { method: 'DELETE', headers })).json()).toEqual({
      message: 'Logged out from 0 other devices',
    });
    const counter = app.get<{ count(session: Session): Promise<number> }>(VisitCounter as Type);
    expect(await counter.count(first.session)).toBe(1);
    expect(await counter.count(await sessions.getSession(first.token))).toBe(2);
    expect(await (await fetch(`${url}/devices/all`, { method: 'DELETE', headers })).json()).toEqual({
      message: 'Logged out from 1 device',
    });

    const json = { 'content-type': 'application/json' };
    const add = await fetch(`${url}/cart`, { method: 'POST', headers: json, body: '{"sku":"book","quantity":2}' });
    const { token } = (await add.json()) as { token: string };
    const cart = { authorization: `Bearer ${token}` };
    expect(await (await fetch(`${url}/cart`, { headers: cart })).json()).toEqual([{ sku: 'book', quantity: 2 }]);
    const more = Array.from({ length: 20 }, (_, index) =>
      fetch(`${url}/cart`, { method: 'POST', headers: { ...json, ...cart }, body: `{"sku":"${index}","quantity":0}` }),
    );
    for (const response of await Promise.all(more)) expect(response.status).toBe(200);
    expect(await (await fetch(`${url}/cart`, { headers: cart })).json()).toHaveLength(21);
    expect((itemsInCart as (session: unknown) => number)(await sessions.getSession(token))).toBe(2);
    expect(await (profileOfAlice as (app: INestApplication) => Promise<unknown>)(app)).toMatchObject({
      userId: 'alice',
    });
    await app.close();
  });

  it('run: a page signs in by the cookie, and its form carries the token', async () => {
    process.env.SESSION_SECRET = SECRET_KEY;
    const { AppModule } = await load('cookie');
    const { PagesController } = await load('csrf');
    const testing = await Test.createTestingModule({
      imports: [AppModule as Type],
      controllers: [PagesController] as Type[],
    }).compile();
    const app = testing.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const login = await fetch(`${url}/saml/callback`, { method: 'POST' });
    const [line] = login.headers.getSetCookie();
    expect(line?.replace(/=[^;]+/, '=…')).toBe(/Set-Cookie: ([^`]+)/.exec(readme)?.[1]);
    const repost = await fetch(`${url}/saml/callback`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ SAMLResponse: 'QUJD"><script>' }).toString(),
    });
    expect([repost.status, repost.headers.getSetCookie()]).toEqual([201, []]);
    expect(repost.headers.get('content-type')).toContain('text/html');
    expect(await repost.text()).toContain(
      '<form method="post"><input type="hidden" name="SAMLResponse" value="QUJDscript">',
    );
    const form = await fetch(`${url}/settings`, { headers: { cookie: line!.split(';')[0]! } });
    expect(await form.text()).toMatch(/name="_csrf" value="[\w-]{86}"/);
    await app.close();
  });

  it.each(PLATFORMS)('run: cached responses are each for one session, on %s', async (platform) => {
    const { ReportModule } = await load('cache');
    const testing = await Test.createTestingModule({
      imports: [SessionModule.forRoot({ secretKey: SECRET_KEY }), ReportModule as Type],
    }).compile();
    const app =
      platform === 'fastify' ? testing.createNestApplication(new FastifyAdapter()) : testing.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const sessions = app.get(SessionService);
    const report = async (token?: string) => {
      const headers = new Headers(token === undefined ? [] : [['authorization', `Bearer ${token}`]]);
      const response = await fetch(`${url}/report`, { headers });
      return `${response.status} ${await response.text()}`;
    };
    const { token: ann, session } = await sessions.createSession({ user: { userId: 'ann' } });
    const { token: bob } = await sessions.createSession({ user: { userId: 'bob' } });

    const first = await report(ann);
    expect(first).toContain('"of":"ann"');
    expect(await report(ann)).toBe(first);
    expect(await report(bob)).toContain('"of":"bob"');
    expect(await report()).toMatch(/^401/);
    expect(await report(ann)).toBe(first);
    await sessions.deleteSession(session.sessionId);
    expect(await report(ann)).toMatch(/^401/);
    await app.close();
  });

  describe('the backend of the README', () => {
    let TableBackend: new (table: Map<string, never>) => SessionBackend;

    beforeAll(async () => {
      ({ TableBackend } = (await load('backend')) as { TableBackend: typeof TableBackend });
    });

    it('has about 100 lines', () => {
      expect(examples.get('backend')?.split('\n').length).toBeLessThan(115);
    });

    const table = new Map<string, never>();
    const cases = backendConformance({ create: () => new TableBackend(table) });
    for (const { name, run } of cases) it(name, run);
  });

  it('run: the asynchronous set-up and the client of the application are accepted', async () => {
    const { AppModule } = await load('async');
    process.env.SESSION_SECRET = SECRET_KEY;
    process.env.REDIS_URL = 'redis://127.0.0.1:1';
    const context = await Test.createTestingModule({ imports: [AppModule as Type] }).compile();
    expect(context.get(SessionService)).toBeInstanceOf(SessionService);
    for (const name of ['redis', 'redis-password', 'redis-cluster', 'memcached', 'migrating']) {
      const { backend, client } = await load(name);
      expect(backend).toBeDefined();
      (client as { disconnect(): void } | undefined)?.disconnect();
    }
  });
});

it('the tables of the service have every method of it', () => {
  const [section = ''] = /## Service, session, decorators\n[^]*?\n## /.exec(readme) ?? [];
  const named = [...section.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name!);
  const methods = Object.getOwnPropertyNames(SessionService.prototype).filter((name) => name !== 'constructor');
  expect(named.sort()).toEqual(methods.sort());
  const [, fields = ''] = /A `Session` has (.*?)\. A user/s.exec(section) ?? [];
  const properties = Object.getOwnPropertyNames(Session.prototype).filter(
    (name) => !/^(constructor|toJSON)$/.test(name),
  );
  expect([...fields.matchAll(/`(\w+)/g)].map(([, name]) => name!).sort()).toEqual(properties.sort());
});

it('the table of options has every option, with its default', () => {
  const defaults = validateOptions({
    secretKey: SECRET_KEY,
    indexKey: SECRET_KEY,
    backend: new MemoryBackend(),
    tokenSourcePriority: ['header', 'bearer', 'cookie'],
    cookie: {},
    csrf: {},
  });
  const rows = new Map(
    [...optionsSection.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)].map(([, name, text]) => [
      name!,
      text!.trim().replace(/^`([^`]+)`$/, '$1'),
    ]),
  );
  expect([...rows.keys()].sort()).toEqual(Object.keys(defaults).sort());
  const spelled: Record<string, string> = {
    secretKey: 'required',
    indexKey: 'secretKey',
    backend: 'memory',
    tokenSourcePriority: "['header', 'bearer']",
    cookie: '–',
    enableCsrf: 'on with cookies',
    csrf: '–',
  };
  for (const [name, value] of Object.entries(defaults) as [string, unknown][]) {
    const plain = typeof value === 'string' && name !== 'tokenFormat' ? value : JSON.stringify(value);
    const expected = spelled[name] ?? plain.replace(/"/g, "'").replace(/,/g, ', ');
    expect(`${name}: ${rows.get(name)}`).toBe(`${name}: ${expected}`);
  }
});

it('the rows of cookie and csrf have every option in them, with its default', () => {
  for (const [row, defaults] of [
    ['cookie', new SessionCookieOptions()],
    ['csrf', new SessionCsrfOptions()],
  ] as const) {
    const [, text = ''] = new RegExp(`^\\| \`${row}\` \\| – \\| (.*) \\|$`, 'm').exec(optionsSection) ?? [];
    const named = [...text.matchAll(/`(\w+)`(?: \(([^)]*)\))?/g)].map(([, name, value]) => [name, value]);
    const spelled = Object.entries<unknown>({ ...defaults }).map(([name, value]) => [name, spell(value)]);
    expect(Object.fromEntries(named.filter(([name]) => name !== 'tokenSourcePriority'))).toEqual(
      Object.fromEntries([...(row === 'cookie' ? [['domain', undefined]] : []), ...spelled]),
    );
  }
});

function spell(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (value === undefined) return undefined;
  return typeof value === 'string' ? `\`${value}\`` : JSON.stringify(value);
}
