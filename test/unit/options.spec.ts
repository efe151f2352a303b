import { describe, expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  generateSecretKey,
  SESSION_BACKEND,
  SESSION_CLOCK,
  MemoryBackend,
  SessionCookieOptions,
  SessionCsrfOptions,
  SessionJwtOptions,
  SessionModule,
  SessionOptions,
  SessionService,
  TOKEN_SERIALIZER,
  type SessionModuleOptions,
  type SessionOptionsFactory,
  type TokenSerializer,
} from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { validateOptions } from '../../src/options/validate-options.js';
import { SECRET_KEY } from '../support/apps.js';

const faults = (options: object): string => {
  try {
    validateOptions(options as SessionModuleOptions);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('options', () => {
  it('have the documented defaults', () => {
    expect({ ...validateOptions({ secretKey: SECRET_KEY }) }).toMatchObject({
      sessionTtl: 3600,
      absoluteTimeout: null,
      slidingExpiration: true,
      slidingThreshold: 0.5,
      touchInterval: 60,
      headerName: 'X-Session-Token',
      useBearerToken: true,
      tokenSourcePriority: ['header', 'bearer'],
      tokenFormat: 'simple',
      ipBinding: false,
      userAgentBinding: false,
      regenerateOnLogin: true,
      backendKeyPrefix: 'session:',
      backendTimeout: 1000,
      maxSessionBytes: 65_536,
    });
  });

  it('take undefined for "left out", at any depth', () => {
    const allUndefined = (options: object) => Object.fromEntries(Object.keys(options).map((name) => [name, undefined]));
    const secretKey = [SECRET_KEY];
    expect(validateOptions({ ...allUndefined(new SessionOptions()), secretKey })).toEqual(
      validateOptions({ secretKey }),
    );
    const defaults = { secretKey, tokenSourcePriority: ['cookie'] as const, tokenFormat: 'jwt' as const };
    expect(
      validateOptions({
        ...defaults,
        cookie: allUndefined(new SessionCookieOptions()),
        csrf: allUndefined(new SessionCsrfOptions()),
        jwt: allUndefined(new SessionJwtOptions()),
      }),
    ).toEqual(validateOptions({ ...defaults, cookie: {}, csrf: {}, jwt: {} }));
    const former = [{ name: 'sid', domain: undefined, path: undefined, partitioned: undefined }];
    expect(faults({ ...defaults, jwt: undefined, cookie: { former }, ipBinding: { ipv4Prefix: undefined } })).toBe('');
  });

  const wrong: [option: string, value: unknown][] = [
    ['contexts', null],
    ['contexts', {}],
    ['contexts', [null]],
    ['contexts', [{ type: '', read: () => null }]],
    ['contexts', [{ type: 'rpc' }]],
    ['contexts', [{ read: () => null }]],
    ['secretKey', undefined],
    ['secretKey', ''],
    ['secretKey', 'short'],
    ['secretKey', 'x'.repeat(64)],
    ['secretKey', []],
    ['secretKey', [SECRET_KEY, 'short']],
    ['indexKey', 'short'],
    ['indexKey', [SECRET_KEY]],
    ...[0, -1, NaN, Infinity, '60', 1e12].map((value): [string, unknown] => ['sessionTtl', value]),
    ...[0, -1, NaN, Infinity, '60'].map((value): [string, unknown] => ['absoluteTimeout', value]),
    ['slidingExpiration', 'yes'],
    ['slidingThreshold', 1.1],
    ['slidingThreshold', -0.1],
    ['touchInterval', -1],
    ['passive', '/poll'],
    ['rotateEvery', 0.9],
    ['rotateGrace', 0],
    ['rotateGrace', 301],
    ['onReuse', 'end'],
    ['liveCheckInterval', 0],
    ['liveCheckInterval', 86_401],
    ['revalidateEvery', -1],
    ['headerName', 'X Token'],
    ['headerName', 'X-Token\r\nSet-Cookie'],
    ['headerName', ''],
    ['headerName', 'Set-Cookie'],
    ['headerName', 'authorization'],
    ['headerName', 'Content-Type'],
    ['headerName', 'Access-Control-Token'],
    ['headerName', 'Proxy-Token'],
    ['headerName', 'Sec-Token'],
    ['headerName', 'x'.repeat(65)],
    ['headerName', '__proto__'],
    ['headerName', 'Constructor'],
    ...[
      'User-Agent',
      'ETag',
      'Retry-After',
      'Clear-Site-Data',
      'Strict-Transport-Security',
      'Link',
      'Age',
      'Allow',
    ].map((value): [string, unknown] => ['headerName', value]),
    ...['Accept', 'Accept-Language', 'If-Match', 'X-Accel-Expires', 'X-Forwarded-For', 'Forwarded', 'Range'].map(
      (value): [string, unknown] => ['headerName', value],
    ),
    ['useBearerToken', 1],
    ['tokenSourcePriority', []],
    ['tokenSourcePriority', ['header', 'header']],
    ['tokenSourcePriority', ['query']],
    ['tokenSourcePriority', 'header'],
    ['tokenFormat', 'none'],
    ['tokenFormat', {}],
    ['ipBinding', { ipv4Prefix: 33 }],
    ['ipBinding', { ipv4Prefix: 0 }],
    ['ipBinding', { ipv4Prefix: 24.5 }],
    ['ipBinding', { ipv4Prefix: '24' }],
    ['ipBinding', { ipv6Prefix: 0 }],
    ['ipBinding', { ipv6Prefix: 129 }],
    ['ipBinding', { ipv5Prefix: 8 }],
    ['ipBinding', 24],
    ['userAgentBinding', null],
    ['regenerateOnLogin', 'no'],
    ['backend', {}],
    ['backend', 'redis'],
    ['backend', null],
    ['backendKeyPrefix', 'a{b}:'],
    ['backendKeyPrefix', 'a b'],
    ['backendKeyPrefix', 'x'.repeat(101)],
    ['maxSessionsPerUser', 0],
    ['maxSessionsPerUser', 1.5],
    ['maxSessionBytes', 0],
    ['maxSessionBytes', 255],
    ['maxSessionBytes', 1000.5],
    ['maxSessionBytes', '65536'],
    ['maxSessionBytes', null],
    ['maxSessionBytes', Infinity],
    ['maxSessionBytes', 2 ** 29 + 1],
    ['maxSessionsPerUser', Infinity],
    ['onSessionLimit', 'evict'],
    ['enableCsrf', 'yes'],
    ['backendTimeout', 0],
    ['backendTimeout', 1.5],
    ['backendTimeout', 2 ** 31],
  ];

  it.each(wrong)('%s: %p stops the start, by name', (option, value) => {
    expect(faults({ secretKey: SECRET_KEY, [option]: value })).toContain(option);
  });

  it.each<[option: string, value: unknown]>([
    ['secretKey', SECRET_KEY.slice(0, 32)],
    ['absoluteTimeout', 3_153_600_000],
    ['slidingThreshold', 0],
    ['slidingThreshold', 1],
    ['touchInterval', 0],
    ['rotateEvery', 1],
    ['rotateGrace', 300],
    ['liveCheckInterval', 0.1],
    ['headerName', 'x'.repeat(64)],
    ['ipBinding', { ipv4Prefix: 1, ipv6Prefix: 1 }],
    ['ipBinding', { ipv4Prefix: 32, ipv6Prefix: 128 }],
    ['backendKeyPrefix', 'x'.repeat(100)],
    ['backendTimeout', 1],
    ['backendTimeout', 2 ** 31 - 1],
    ['maxSessionBytes', 256],
    ['maxSessionBytes', 2 ** 29],
    ['maxSessionsPerUser', 1],
  ])('%s: %p is the last value that is accepted', (option, value) => {
    expect(faults({ secretKey: SECRET_KEY, [option]: value })).toBe('');
  });

  it('bearer switched off and bearer alone leave no place for a token', () => {
    expect(faults({ secretKey: SECRET_KEY, useBearerToken: false, tokenSourcePriority: ['bearer'] })).toContain(
      'tokenSourcePriority',
    );
  });

  const impossible: [cookie: unknown, said: string][] = [
    [null, 'cookie must be an object'],
    ['sid', 'cookie must be an object'],
    [[], 'cookie must be an object'],
    [{ name: '' }, 'cookie.name'],
    [{ name: 'a b' }, 'cookie.name'],
    [{ name: 'a;b' }, 'cookie.name'],
    [{ name: 'a=b' }, 'cookie.name'],
    [{ name: 'a\r\nSet-Cookie: b' }, 'cookie.name'],
    [{ name: 'x'.repeat(65) }, 'cookie.name'],
    [{ path: 'app' }, 'cookie.path'],
    [{ path: '/a;Domain=b' }, 'cookie.path'],
    [{ name: 'sid', path: '/a?b' }, 'cookie.path'],
    [{ name: 'sid', path: '/a#b' }, 'cookie.path'],
    [{ name: 'sid', path: `/${'x'.repeat(256)}` }, 'cookie.path'],
    [{ name: 'sid', domain: 'a b' }, 'cookie.domain'],
    [{ name: 'sid', domain: 'example.com; Secure' }, 'cookie.domain'],
    [{ name: 'sid', domain: '' }, 'cookie.domain'],
    [{ name: 'sid', domain: 'com' }, 'cookie.domain'],
    [{ sameSite: 'None' }, 'cookie.sameSite'],
    [{ sameSite: true }, 'cookie.sameSite'],
    [{ secure: 'auto' }, 'cookie.secure'],
    [{ persistent: true }, "cookie.persistent must be 'remembered' or 'always'"],
    [{ persistent: 'never' }, 'cookie.persistent'],
    [{ httpOnly: false }, 'no option named "cookie.httpOnly"'],
    [{ maxAge: 5 }, 'no option named "cookie.maxAge"'],
    [{ name: 'sid', sameSite: 'none', secure: false }, "cookie.sameSite 'none' needs cookie.secure"],
    [{ name: 'sid', partitioned: true, secure: false }, 'cookie.partitioned needs cookie.secure'],
    [{ secure: false }, '__Host-session needs cookie.secure'],
    [{ domain: 'example.com' }, '__Host-session can have no cookie.domain'],
    [{ path: '/app' }, '__Host-session needs the cookie.path /'],
    [{ name: '__HOST-sid', domain: 'example.com' }, 'can have no cookie.domain'],
    [{ name: '__SECURE-sid', secure: false }, '__SECURE-sid needs cookie.secure'],
    [{ name: '__Host-Http-sid', path: '/app' }, 'needs the cookie.path /'],
    [{ name: '__Secure-sid', secure: false }, '__Secure-sid needs cookie.secure'],
    [{ name: '__Http-sid', secure: false }, '__Http-sid needs cookie.secure'],
  ];

  const impossibleFormer: [former: unknown, said: string][] = [
    ['sid', 'cookie.former is a list of at most 8 cookies'],
    [{ name: 'sid' }, 'cookie.former is a list of at most 8 cookies'],
    [Array.from({ length: 9 }, () => ({ name: 'sid' })), 'cookie.former is a list of at most 8 cookies'],
    [['sid'], 'cookie.former[0] is an object'],
    [[null], 'cookie.former[0] is an object'],
    [[{}, [{ name: 'sid' }]], 'cookie.former[1] is an object'],
    [[{ name: 'a b' }], 'cookie.former[0].name'],
    [[{ name: 'a;b' }], 'cookie.former[0].name'],
    [[{ name: null }], 'cookie.former[0].name'],
    [[{ name: 'sid', domain: 'a b' }], 'cookie.former[0].domain'],
    [[{ name: 'sid' }, { name: 'sid', path: 'app' }], 'cookie.former[1].path'],
    [[{ name: 'sid', path: '/a;Domain=b' }], 'cookie.former[0].path'],
    [[{ partitioned: 'yes' }], 'cookie.former[0].partitioned'],
    [[{ sameSite: 'lax' }], 'no option named "cookie.former[0].sameSite"'],
    [[{ domain: 'example.com' }], 'a cookie named __Host-session has no domain'],
    [[{ name: '__host-sid', path: '/app' }], 'a cookie named __host-sid has no domain and the path /'],
  ];

  const impossibleLifetimes: [lifetimes: unknown, said: string][] = [
    [null, 'lifetimes is an object'],
    [3600, 'lifetimes is an object'],
    [[{ ttl: 5 }], 'lifetimes is an object'],
    [{ rememberd: { ttl: 5 } }, 'no option named "lifetimes.rememberd"'],
    [{ ttl: 5 }, 'no option named "lifetimes.ttl"'],
    [{ remembered: 5 }, 'lifetimes.remembered is an object'],
    [{ anonymous: null }, 'lifetimes.anonymous is an object'],
    [{ anonymous: { sessionTtl: 5 } }, 'no option named "lifetimes.anonymous.sessionTtl"'],
    ...[0, -1, NaN, Infinity, 3_153_600_001, true, null, {}].map((ttl): [unknown, string] => [
      { remembered: { ttl } },
      'lifetimes.remembered.ttl must be a number of seconds, from 0.001 to 3153600000',
    ]),
    [{ anonymous: { ttl: '60' } }, 'it is a string, so wrap it in Number()'],
    [{ anonymous: { absoluteTimeout: '60' } }, 'lifetimes.anonymous.absoluteTimeout must be a number of seconds'],
    [{ anonymous: { absoluteTimeout: 0 } }, 'lifetimes.anonymous.absoluteTimeout must be a number of seconds'],
    [{ remembered: { ttl: 3601 } }, 'set lifetimes.remembered.absoluteTimeout, or null for no limit'],
    [{ anonymous: { ttl: 3601 } }, 'lifetimes.anonymous.ttl is longer than absoluteTimeout'],
  ];

  it.each(impossibleLifetimes)('the lifetimes %j stop the start: %s', (lifetimes, said) => {
    expect(faults({ secretKey: SECRET_KEY, absoluteTimeout: 3600, lifetimes })).toContain(said);
  });

  const several: [options: object, lines: string[]][] = [
    [
      { lifetimes: { anonymous: { ttl: 0 }, remembered: { tll: 5 } } },
      [
        'lifetimes.anonymous.ttl must be a number of seconds, from 0.001 to 3153600000',
        'there is no option named "lifetimes.remembered.tll"',
      ],
    ],
    [
      { cookie: { secure: false, domain: 'x.example', path: '/x', sameSite: 'none', partitioned: true } },
      [
        "cookie.sameSite 'none' needs cookie.secure",
        'cookie.partitioned needs cookie.secure',
        'a cookie named __Host-session needs cookie.secure; without TLS choose a name without this prefix',
        'a cookie named __Host-session can have no cookie.domain; begin its name with __Secure-',
        'a cookie named __Host-session needs the cookie.path /; begin its name with __Secure-',
      ],
    ],
    [
      { cookie: { name: 'a b', secure: false, sameSite: 'none' } },
      [
        'cookie.name is the name of a cookie: letters, digits and hyphens, at most 64',
        "cookie.sameSite 'none' needs cookie.secure",
      ],
    ],
    [
      { cookie: { former: [{ name: 'a b', domain: 'com' }, 'sid', { path: '/x', maxAge: 5, secure: true }] } },
      [
        'cookie.former[0].name is the name of a cookie',
        'cookie.former[0].domain is the name of a domain',
        'cookie.former[1] is an object with any of name, domain, path and partitioned',
        'there is no option named "cookie.former[2].maxAge"',
        'there is no option named "cookie.former[2].secure"',
        'cookie.former[2] cannot be in any browser: a cookie named __Host-session has no domain and the path /',
      ],
    ],
    [
      { useBearerToken: false, tokenSourcePriority: ['bearer', 'bearer'], cookie: {} },
      [
        'tokenSourcePriority names a source twice',
        'tokenSourcePriority leaves no place for a token: it names bearer alone, and useBearerToken is off',
        "tokenSourcePriority lacks 'cookie', though the option cookie is set: add it",
      ],
    ],
  ];

  it.each(several)('each fault of %j is a line of its own', (options, lines) => {
    const message = faults({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], ...options });
    expect(message.split('\n').slice(1)).toEqual(lines.map((line) => `- ${line}`));
  });

  it.each(['cookie', 'csrf', 'jwt', 'lifetimes'])('%s that is a function is named', (option) => {
    for (const value of [() => ({}), SessionCookieOptions]) {
      const options = { secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], tokenFormat: 'jwt', [option]: value };
      expect(faults(options)).toMatch(new RegExp(`wrong:\n- ${option} (must be|is) an object, such as [^\n]*$`));
    }
  });

  it.each(['slidingExpiration', 'cookie.secure', 'csrf.requireToken', 'ipBinding'])(
    '%s as the text of an environment variable is named, and how to mend it',
    (option) => {
      const [name = '', field] = option.split('.');
      const given = (value: string) => ({ [name]: field === undefined ? value : { [field]: value } });
      const message = (value: string) =>
        faults({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], ...given(value) });
      for (const value of ['true', 'false']) {
        expect(message(value)).toContain(`- ${option} must be true`);
        expect(message(value)).toContain("; it is a string, so compare it with 'true'");
      }
      expect(message('auto')).not.toContain('it is a string');
    },
  );

  it.each([
    {},
    { anonymous: {}, remembered: {} },
    { anonymous: undefined, remembered: { ttl: undefined } },
    { remembered: { ttl: 86_400, absoluteTimeout: null } },
    { remembered: { ttl: 86_400, absoluteTimeout: 86_400 }, anonymous: { ttl: 3600 } },
    { remembered: { ttl: 100, absoluteTimeout: 50 } },
  ])('the lifetimes %j are taken as they are given', (lifetimes) => {
    const options = validateOptions({ secretKey: SECRET_KEY, absoluteTimeout: 3600, lifetimes });
    expect(options.lifetimes).toEqual(lifetimes);
  });

  it.each(impossibleFormer)('the former cookies %j stop the start: %s', (former, said) => {
    expect(faults({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], cookie: { former } })).toContain(said);
  });

  it('former cookies are taken as they are given', () => {
    const former = [{ name: 'sid', domain: 'Example.com', path: '/app', partitioned: false }, { name: '__Host-sid' }];
    const { cookie } = validateOptions({
      secretKey: SECRET_KEY,
      tokenSourcePriority: ['cookie'],
      cookie: { former },
    });
    expect(cookie?.former).toEqual(former);
  });

  it.each(impossible)('the cookie %j stops the start: %s', (cookie, said) => {
    expect(faults({ secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], cookie })).toContain(said);
  });

  it('a cookie that is left as it is, or set in part, has its defaults', () => {
    const { cookie } = validateOptions({
      secretKey: SECRET_KEY,
      tokenSourcePriority: ['cookie'],
      cookie: { sameSite: 'strict', domain: undefined, secure: undefined as never },
    });
    expect({ ...cookie }).toEqual({
      name: '__Host-session',
      path: '/',
      domain: undefined,
      sameSite: 'strict',
      secure: true,
      partitioned: false,
      persistent: 'remembered',
    });
  });

  it.each(['constructor', 'toString', 'hasOwnProperty', '__proto__'])(
    'the unknown name %s, which every object inherits, stops the start at any depth',
    (name) => {
      const unknown = JSON.parse(`{ "${name}": 1 }`) as object;
      const general = { secretKey: SECRET_KEY, tokenSourcePriority: ['cookie'], tokenFormat: 'jwt' };
      expect(faults({ ...general, ...unknown })).toContain(`no option named "${name}"`);
      for (const option of ['cookie', 'csrf', 'jwt', 'lifetimes', 'ipBinding'])
        expect(faults({ ...general, [option]: unknown })).toContain(`no option named "${option}.${name}"`);
      expect(faults({ ...general, cookie: { former: [unknown] } })).toContain(`"cookie.former.0.${name}"`);
    },
  );

  it('a cookie that nothing reads or sets stops the start', () => {
    expect(faults({ secretKey: SECRET_KEY, cookie: { name: 'sid' } })).toContain("lacks 'cookie'");
  });

  it.each<[csrf: unknown, said: string]>([
    ['strict', 'csrf must be an object'],
    [null, 'csrf must be an object'],
    [{ allowedOrigins: 'https://a.example' }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['https://a.example/'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['https://a.example:443'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['https://A.example'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['*'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['https://*.example.com'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['null'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: ['capacitor://localhost/'] }, 'csrf.allowedOrigins'],
    [{ allowedOrigins: [/a/] }, 'csrf.allowedOrigins'],
    [{ requireToken: 1 }, 'csrf.requireToken'],
    [{ headerName: 'X CSRF' }, 'csrf.headerName'],
    [{ headerName: 'Cookie' }, 'csrf.headerName'],
    [{ headerName: 'Origin' }, 'csrf.headerName'],
    [{ headerName: 'User-Agent' }, 'csrf.headerName'],
    [{ headerName: '__proto__' }, 'csrf.headerName'],
    [{ headerName: 'x-session-token' }, 'csrf.headerName cannot be headerName too'],
    [{ fieldName: '__proto__' }, 'csrf.fieldName'],
    [{ fieldName: 'x'.repeat(65) }, 'csrf.fieldName'],
    [{ cookieName: 'csrf' }, 'no option named "csrf.cookieName"'],
  ])('csrf %j stops the start: %s', (csrf, said) => {
    expect(faults({ secretKey: SECRET_KEY, csrf })).toContain(said);
  });

  it.each<[jwt: unknown, said: string]>([
    [null, 'jwt must be an object'],
    [true, 'jwt must be an object'],
    [[], 'jwt must be an object'],
    [{ issuer: '' }, 'jwt.issuer'],
    [{ issuer: 'a b' }, 'jwt.issuer'],
    [{ issuer: 'a\n' }, 'jwt.issuer'],
    [{ issuer: 'x'.repeat(201) }, 'jwt.issuer'],
    [{ issuer: ['a'] }, 'jwt.issuer'],
    [{ audience: '' }, 'jwt.audience'],
    [{ audience: 'ä' }, 'jwt.audience'],
    [{ audience: ['a', 'b'] }, 'jwt.audience'],
    [{ audience: /a/ }, 'jwt.audience'],
    [{ leeway: -1 }, 'jwt.leeway must be a number of seconds, from 0 to 600'],
    [{ leeway: 601 }, 'jwt.leeway'],
    [{ leeway: NaN }, 'jwt.leeway'],
    [{ leeway: '60' }, 'wrap it in Number()'],
    [{ algorithms: ['HS256'] }, 'no option named "jwt.algorithms"'],
    [{ secret: SECRET_KEY }, 'no option named "jwt.secret"'],
  ])('jwt %j stops the start: %s', (jwt, said) => {
    const message = faults({ secretKey: SECRET_KEY, tokenFormat: 'jwt', jwt });
    expect(message).toContain(said);
    expect(message).not.toContain(SECRET_KEY);
  });

  it('claims for tokens that are no JWTs stop the start', () => {
    for (const tokenFormat of ['simple', undefined, { serialize: () => '', verify: () => '' }]) {
      expect(faults({ secretKey: SECRET_KEY, tokenFormat, jwt: {} })).toContain("tokenFormat is not 'jwt'");
    }
    expect(faults({ secretKey: SECRET_KEY, tokenFormat: 'JWT' })).toContain("tokenFormat must be 'simple', 'jwt'");
  });

  it('claims that are left as they are, or set in part, have their defaults', () => {
    const { jwt } = validateOptions({
      secretKey: SECRET_KEY,
      tokenFormat: 'jwt',
      jwt: { audience: 'https://api.example.com', issuer: undefined as never },
    });
    expect({ ...jwt }).toEqual({ issuer: 'nestjs-sessionx', audience: 'https://api.example.com', leeway: 60 });
  });

  it.each(['https://a.example', 'http://localhost:4200', 'capacitor://localhost', 'https://[::1]:8443'])(
    '%s is an origin that may be allowed',
    (origin) => {
      expect(faults({ secretKey: SECRET_KEY, csrf: { allowedOrigins: [origin] } })).toBe('');
    },
  );

  it('are faulted all at once, unknown names included, and no secret is shown', () => {
    const message = faults({ secretKey: 'a short secret', sessionTtl: 0, ttl: 5, backendTimeout: -1 });
    expect(message.split('\n').slice(1)).toHaveLength(4);
    expect(message).toContain('there is no option named "ttl"; is it sessionTtl?');
    expect(faults({ secretKey: SECRET_KEY, sessionTTL: 5 })).toContain('is it sessionTtl?');
    expect(faults({ secretKey: SECRET_KEY, store: 5 })).toMatch(/no option named "store"$/);
    expect(message).not.toContain('a short secret');
    expect(faults(null as never)).toContain('secretKey');
  });

  it('generateSecretKey makes keys that pass', () => {
    const key = generateSecretKey();
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(key).not.toBe(generateSecretKey());
    expect(faults({ secretKey: key })).toBe('');
  });
});

@Injectable()
class Config {
  readonly key = SECRET_KEY;
}

@Module({ providers: [Config], exports: [Config] })
class ConfigModule {}

@Injectable()
class OptionsFactory implements SessionOptionsFactory {
  createSessionOptions(): SessionModuleOptions {
    return { secretKey: SECRET_KEY, sessionTtl: 5 };
  }
}

@Module({ providers: [OptionsFactory], exports: [OptionsFactory] })
class OptionsModule {}

describe('the module', () => {
  const expiry = async (imports: NonNullable<Parameters<typeof Test.createTestingModule>[0]['imports']>) => {
    const context = await Test.createTestingModule({ imports }).compile();
    await context.init();
    const { session } = await context.get(SessionService, { strict: false }).createSession();
    await context.close();
    return session.expiresAt.getTime() - session.createdAt.getTime();
  };

  it('forRootAsync: useFactory with imports and inject', async () => {
    const dynamic = SessionModule.forRootAsync({
      imports: [ConfigModule],
      inject: [Config],
      useFactory: ({ key }: Config) => Promise.resolve({ secretKey: key, sessionTtl: 7 }),
    });
    expect(await expiry([dynamic])).toBe(7000);
  });

  it('forRootAsync: useClass, and useExisting', async () => {
    expect(await expiry([SessionModule.forRootAsync({ useClass: OptionsFactory })])).toBe(5000);
    expect(await expiry([SessionModule.forRootAsync({ imports: [OptionsModule], useExisting: OptionsFactory })])).toBe(
      5000,
    );
  });

  it('forRootAsync: extraProviders beside the factory, and not global where that is asked', async () => {
    const backend = new MemoryBackend();
    const module = SessionModule.forRootAsync({
      useFactory: () => ({ secretKey: SECRET_KEY }),
      isGlobal: false,
      extraProviders: [
        { provide: SESSION_CLOCK, useValue: new FakeClock(5_000_000) },
        { provide: SESSION_BACKEND, useValue: backend },
      ],
    });
    expect(module.global).toBe(false);
    expect(SessionModule.forRootAsync({ useFactory: () => ({ secretKey: SECRET_KEY }) }).global).toBe(true);
    const context = await Test.createTestingModule({ imports: [module] }).compile();
    await context.init();
    const { session } = await context.get(SessionService).createSession();
    expect(session.createdAt.getTime()).toBe(5_000_000);
    expect(await backend.read(session.sessionId)).not.toBeNull();
    await context.close();
  });

  it('a rolling deploy may bring two keys in either order; with an indexKey users are found by all', async () => {
    const backend = new MemoryBackend();
    const keys = [generateSecretKey(), generateSecretKey()];
    const instances = await Promise.all(
      [keys, keys.toReversed()].map(async (secretKey) => {
        const module = SessionModule.forRoot({ backend, secretKey, indexKey: SECRET_KEY });
        const context = await Test.createTestingModule({ imports: [module] }).compile();
        await context.init();
        return context.get(SessionService);
      }),
    );
    const issued = await Promise.all(instances.map((each) => each.createSession({ user: { userId: 'ann' } })));
    for (const each of instances) {
      for (const { token } of issued) expect((await each.getSession(token)).user?.userId).toBe('ann');
      expect(await each.listUserSessions('ann')).toHaveLength(2);
    }
    expect(await instances[1]!.deleteUserSessions('ann')).toBe(2);
  });

  it.each([undefined, null, 'secret', () => ({})])('forRoot(%p) stops the start with what to pass', (options) => {
    expect(() => SessionModule.forRoot(options as never)).toThrow(
      new TypeError('SessionModule cannot start: its options are not an object. Pass at least { secretKey }.'),
    );
  });

  it.each([
    [undefined, 'none of them'],
    [null, 'none of them'],
    [{}, 'none of them'],
    [{ imports: [] }, 'none of them'],
    [{ useFactory: () => ({ secretKey: SECRET_KEY }), useClass: Config }, 'useFactory and useClass'],
  ])('forRootAsync(%p) stops the start with what it takes', (options, found) => {
    expect(() => SessionModule.forRootAsync(options as never)).toThrow(
      new TypeError(
        `SessionModule cannot start: forRootAsync() takes useFactory, useClass or useExisting, and was given ${found}.`,
      ),
    );
  });

  it('forRootAsync: a class without createSessionOptions() is named', async () => {
    for (const module of [
      SessionModule.forRootAsync({ useClass: Config as never }),
      SessionModule.forRootAsync({ imports: [ConfigModule], useExisting: Config as never }),
    ]) {
      await expect(expiry([module])).rejects.toThrow(
        new TypeError('SessionModule cannot start: Config has no method createSessionOptions().'),
      );
    }
  });

  it('forRootAsync: createSessionOptions may be a property, and use this', async () => {
    class Lifetime {
      readonly sessionTtl = 9;
      readonly createSessionOptions = () => ({ secretKey: SECRET_KEY, sessionTtl: this.sessionTtl });
    }
    expect(await expiry([SessionModule.forRootAsync({ useClass: Lifetime })])).toBe(9000);
  });

  it.each<[extras: object, said: string]>([
    [{ extraProviders: 1 }, '- extraProviders must be a list of providers'],
    [{ extraProviders: null }, '- extraProviders must be a list of providers'],
    [{ isGlobal: 'false' }, "- isGlobal must be true or false; it is a string, so compare it with 'true'"],
    [{ isGlobal: null }, '- isGlobal must be true or false'],
  ])('%j beside the options stops the start: %s', (extras, said) => {
    const useFactory = () => ({ secretKey: SECRET_KEY });
    const both = `SessionModule cannot start, its options are wrong:\n${said}`;
    expect(() => SessionModule.forRoot({ secretKey: SECRET_KEY, ...extras })).toThrow(new TypeError(both));
    expect(() => SessionModule.forRootAsync({ useFactory, ...extras })).toThrow(new TypeError(both));
  });

  it('undefined beside the options is the same as left out', () => {
    const module = SessionModule.forRoot({ secretKey: SECRET_KEY, isGlobal: undefined, extraProviders: undefined });
    expect(module.global).toBe(true);
  });

  it('a factory with faults stops the start with the list of them', async () => {
    await expect(expiry([SessionModule.forRootAsync({ useFactory: () => ({ secretKey: 'x' }) })])).rejects.toThrow(
      /SessionModule cannot start[^]*secretKey/,
    );
  });

  it('extraProviders: clock, backend and serializer of the application', async () => {
    const backend = new MemoryBackend();
    const secrets = new Map<string, string>();
    const serializer: TokenSerializer = {
      serialize: ({ secret }) => {
        const token = `handle-${secrets.size}`;
        secrets.set(token, secret);
        return Promise.resolve(token);
      },
      verify: (token) => {
        const secret = secrets.get(token);
        return Promise.resolve(
          secret === undefined
            ? { valid: false as const, fault: 'TOKEN_FORGED' as const }
            : { valid: true as const, outdated: false, claims: { secret: secret as never, issuedAt: 0 } },
        );
      },
    };
    const clock = new FakeClock(1_000_000);
    const context = await Test.createTestingModule({
      imports: [
        SessionModule.forRoot({
          secretKey: SECRET_KEY,
          extraProviders: [
            { provide: SESSION_CLOCK, useValue: clock },
            { provide: SESSION_BACKEND, useValue: backend },
            { provide: TOKEN_SERIALIZER, useValue: serializer },
          ],
        }),
      ],
    }).compile();
    await context.init();
    const sessions = context.get(SessionService);
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
    expect(token).toBe('handle-0');
    expect(session.createdAt.getTime()).toBe(1_000_000);
    expect((await sessions.getSession(token)).user?.userId).toBe('ann');
    await expect(sessions.getSession('handle-1')).rejects.toMatchObject({ code: 'TOKEN_FORGED' });
    expect(await backend.read(session.sessionId)).not.toBeNull();
    await context.close();
  });

  it('a key rotation signs nobody out, and an indexKey keeps users findable', async () => {
    const backend = new MemoryBackend();
    const start = async (options: SessionModuleOptions) => {
      const context = await Test.createTestingModule({
        imports: [SessionModule.forRoot({ backend, ...options })],
      }).compile();
      await context.init();
      return context.get(SessionService);
    };
    const other = generateSecretKey();
    const before = await start({ secretKey: SECRET_KEY });
    const { token } = await before.createSession({ user: { userId: 'ann' } });
    const during = await start({ secretKey: [other, SECRET_KEY], indexKey: SECRET_KEY });
    expect((await during.getSession(token)).user?.userId).toBe('ann');
    expect(await during.listUserSessions('ann')).toHaveLength(1);
    const after = await start({ secretKey: other, indexKey: SECRET_KEY });
    await expect(after.getSession(token)).rejects.toMatchObject({ code: 'TOKEN_FORGED' });
    expect(await after.listUserSessions('ann')).toHaveLength(1);
  });

  it('a header of the session cannot have the default name of the one for CSRF tokens, unless those are off', () => {
    for (const headerName of ['X-CSRF-Token', 'x-csrf-token']) {
      const options = { secretKey: SECRET_KEY, headerName };
      expect(faults(options)).toMatch(/csrf\.headerName cannot be headerName too.*name one of them otherwise/);
      expect(faults({ ...options, tokenSourcePriority: ['header', 'cookie'] })).toContain('csrf.headerName');
      expect(faults({ ...options, csrf: {} })).toContain('csrf.headerName');
      expect(faults({ ...options, csrf: { headerName: 'X-Form-Token' } })).toBe('');
      expect(faults({ ...options, enableCsrf: false })).toBe('');
    }
  });

  it.each([[['a first key, which is long enough, 1', SECRET_KEY]], [[SECRET_KEY, SECRET_KEY]]])(
    'several keys without an indexKey stop the start, with a message that says which one to name: %j',
    (secretKey) => {
      for (const indexKey of [undefined, null]) {
        const message = faults({ secretKey, indexKey });
        expect(message).toMatch(/indexKey must be set.*log out everywhere.*the only one of secretKey so far/);
        for (const key of secretKey) expect(message).not.toContain(key);
      }
      expect(faults({ secretKey, indexKey: SECRET_KEY })).toBe('');
      expect(faults({ secretKey: [SECRET_KEY] })).toBe('');
    },
  );
});
