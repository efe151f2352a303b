import { describe, expect, it } from '@jest/globals';
import * as library from 'nestjs-sessionx';
import {
  MemoryBackend,
  Session,
  SessionCookieOptions,
  SessionCsrfOptions,
  SessionError,
  SessionJwtOptions,
  SessionService,
} from 'nestjs-sessionx';

import { validateOptions } from '../../src/options/validate-options.js';
import { SECRET_KEY } from '../support/apps.js';
import { allPages, codeOf, namesIn, readPage, type Page, type Table } from './pages.js';
import { exportsOf, membersOf } from './source.js';

/** What stands in a table where the default is no value to be printed. */
const SPELLED: Readonly<Record<string, string>> = {
  secretKey: 'required',
  indexKey: '`secretKey`',
  backend: 'memory',
  cookie: '–',
  csrf: '–',
  jwt: '–',
  enableCsrf: 'on with cookies',
  lifetimes: 'none',
  passive: 'none',
};

describe('the tables of options', () => {
  const page = readPage('docs/options.md');
  const parts = ['jwt', 'cookie', 'csrf'];
  const tables = page.tables.filter(({ heading }) => ![...parts, 'Beside the options'].includes(heading));
  const [jwt, cookie, csrf] = parts.map((part) => page.tables.find(({ heading }) => heading === part));
  const defaults = validateOptions({
    secretKey: SECRET_KEY,
    indexKey: SECRET_KEY,
    backend: new MemoryBackend(),
    tokenSourcePriority: ['header', 'bearer', 'cookie'],
    cookie: {},
    csrf: {},
    tokenFormat: 'jwt',
    jwt: {},
    lifetimes: {},
    passive: () => false,
  });

  it('have every option once, with its default', () => {
    const expected = Object.entries<unknown>({
      ...defaults,
      // Not enumerable, so that no log shows them.
      secretKey: defaults.secretKey,
      indexKey: defaults.indexKey,
      tokenSourcePriority: ['header', 'bearer'],
      tokenFormat: 'simple',
    });
    expect(defaultsIn(...tables)).toEqual(
      sorted(expected.map(([name, value]) => [name, SPELLED[name] ?? spell(value)])),
    );
  });

  it('have every option of JWTs, of the cookie, and of the protection against cross-site requests', () => {
    const withoutDefault = { domain: undefined, former: undefined };
    for (const [table, options] of [
      [jwt!, { ...new SessionJwtOptions() }],
      [cookie!, { ...withoutDefault, ...new SessionCookieOptions() }],
      [csrf!, { ...new SessionCsrfOptions() }],
    ] as const) {
      const expected = Object.entries<unknown>(options).map(([name, value]) => [name, spell(value)]);
      expect(defaultsIn(table)).toEqual(sorted(expected));
    }
  });

  it('say when to change each', () => {
    for (const { columns, rows } of page.tables) {
      expect(columns).toEqual([expect.stringMatching(/option|name/), 'default', 'meaning', 'when to change it']);
      for (const [name, , , change] of rows) if (!/^`(cookie|csrf|jwt)`$/.test(name!)) expect(change).not.toBe('');
    }
  });

  it('agree with those used most, in the README', () => {
    const most = readPage('README.md').tables.find(({ columns }) => columns[0] === 'option')!;
    const all = defaultsIn(...tables);
    for (const row of defaultsIn(most)) expect(all).toContainEqual(row);
    expect(most.rows).toHaveLength(8);
  });
});

function defaultsIn(...tables: readonly Table[]): string[][] {
  return sorted(tables.flatMap(({ rows }) => rows.map(([name, value]) => [name!.replaceAll('`', ''), value!])));
}

function sorted(rows: (string | undefined)[][]): string[][] {
  return (rows as string[][]).sort(([a], [b]) => (a! < b! ? -1 : 1));
}

function spell(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none';
  const text = typeof value === 'string' ? value : JSON.stringify(value).replaceAll('"', "'").replaceAll(',', ', ');
  return `\`${text}\``;
}

describe('the tables of the session API', () => {
  const page = readPage('docs/session-api.md');

  it('have every method of the service', () => {
    const methods = Object.getOwnPropertyNames(SessionService.prototype).filter((name) => name !== 'constructor');
    const named = page.tables.filter(({ columns }) => columns[0] === 'method').flatMap(namesIn);
    expect(named.map((name) => name.split('(')[0]).sort()).toEqual(
      [...methods, 'oneTime.consume', 'oneTime.put'].sort(),
    );
  });

  it('have every member of a session', () => {
    const members = Object.getOwnPropertyNames(Session.prototype).filter(
      (name) => !/^(constructor|toJSON)$/.test(name),
    );
    const named = page.tables.filter(({ columns }) => columns[0] === 'member').flatMap(namesIn);
    expect(named.map((name) => name.split('(')[0]).sort()).toEqual(members.sort());
  });
});

describe('the tables of errors and events', () => {
  const page = readPage('docs/errors-and-events.md');
  const table = (column: string) => page.tables.find(({ columns }) => columns[0] === column)!;

  it('have every code once', () => {
    expect(namesIn(table('code')).sort()).toEqual(membersOf('src/errors/session-error.ts', 'SessionErrorCode').sort());
  });

  it('name the class, the status, and whether the client sees the code', () => {
    for (const [name, className, status, seen] of table('code').rows) {
      const errors = errorsOf(name!.replaceAll('`', ''), className!.replaceAll('`', ''));
      expect([name, errors.map((error) => error.getStatus()).join(', ')]).toEqual([name, status]);
      const shown = errors.filter((error) => 'code' in (error.getResponse() as object));
      const expected =
        shown.length === 0 ? 'no' : shown.length === errors.length ? 'yes' : `only with ${shown[0]!.getStatus()}`;
      expect([name, seen]).toEqual([name, expected]);
    }
  });

  it('have every class of errors', () => {
    const classes = Object.values(library).filter(
      (value) => (value as { prototype?: unknown }).prototype instanceof SessionError,
    );
    for (const { name } of classes as { name: string }[]) expect(codeOf(page)).toContain(name);
  });

  it('have every event, cause and reason', () => {
    const file = 'src/events/session-event.ts';
    expect(namesIn(table('cause')).sort()).toEqual(membersOf(file, 'SessionCause').sort());
    expect(namesIn(table('reason')).sort()).toEqual(membersOf(file, 'SessionEndReason').sort());
    expect(namesIn(table('event')).sort()).toEqual([
      'created',
      'ended',
      'regenerated',
      'rejected',
      'renewed',
      'reused',
      'stale',
      'store-down',
      'store-up',
      'user-updated',
    ]);
  });
});

/** The errors of one code, made as the module makes them. */
function errorsOf(code: string, className: string): SessionError[] {
  const classes = library as unknown as Record<string, new (...args: unknown[]) => SessionError>;
  const made = (...args: unknown[]) => new classes[className]!(...args);
  switch (className) {
    case 'SessionDataError': {
      const faults = ['value', 'input', 'size', 'user-id'].map((fault) => made('', '', fault));
      return faults.filter((error) => error.code === code);
    }
    case 'SessionExpiredError':
    case 'SessionUsageError':
      return [made('')];
    case 'SessionStaleError':
      return [made(code, '', { within: 300, methods: [] })];
    case 'SessionNotFoundError':
    case 'SessionConflictError':
      return [made('', code)];
    default:
      return [made(code, '')];
  }
}

it('what is exported is named by a page', () => {
  const pages = allPages().filter(({ path }) => path.startsWith('docs/') || path === 'README.md');
  const words = new Set(pages.flatMap((page: Page) => codeOf(page).match(/\w+/g) ?? []));
  const entries = ['src/index.ts', 'src/redis.ts', 'src/memcached.ts', 'src/testing/index.ts'];
  const names = entries.flatMap(exportsOf);
  expect(names.length).toBeGreaterThan(80);
  expect(names.filter((name) => !words.has(name))).toEqual([]);
});
