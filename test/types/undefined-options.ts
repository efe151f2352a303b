// Values that may be missing, passed as they are. This file is right if it compiles, also under exactOptionalPropertyTypes.
import {
  MemoryBackend,
  RequireFresh,
  SessionModule,
  type ContextReader,
  type CreateSessionOptions,
  type EndAllOptions,
  type NewSessionLifetime,
  type NewSessionUser,
  type ProofOptions,
  type Session,
  type SessionBackend,
  type SessionModuleOptions,
  type SessionService,
} from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { backendConformance, fakeSession, logIn } from 'nestjs-sessionx/testing';

type Unknown<T> = T | undefined;

const keys: readonly string[] = ['one', 'other'];
const origins: readonly string[] = ['https://app.example.com'];
const sources = ['header', 'cookie'] as const;

export const lists: SessionModuleOptions = {
  secretKey: keys,
  tokenSourcePriority: sources,
  csrf: { allowedOrigins: origins },
};

export const options = (text: Unknown<string>, seconds: Unknown<number>, flag: Unknown<boolean>) =>
  SessionModule.forRoot({
    secretKey: keys,
    indexKey: text,
    sessionTtl: seconds,
    absoluteTimeout: seconds,
    lifetimes: flag === true ? { anonymous: undefined, remembered: { ttl: seconds } } : undefined,
    slidingExpiration: flag,
    slidingThreshold: seconds,
    touchInterval: seconds,
    passive: undefined,
    rotateEvery: seconds,
    rotateGrace: seconds,
    onReuse: undefined,
    headerName: text,
    useBearerToken: flag,
    tokenSourcePriority: undefined,
    tokenFormat: undefined,
    jwt: { issuer: text, audience: text, leeway: seconds },
    ipBinding: flag === true ? { ipv4Prefix: seconds, ipv6Prefix: seconds } : undefined,
    userAgentBinding: flag,
    regenerateOnLogin: flag,
    backend: flag === true ? new MemoryBackend({ maxRecords: seconds }) : undefined,
    backendKeyPrefix: text,
    backendTimeout: seconds,
    liveCheckInterval: seconds,
    cookie: {
      name: text,
      path: text,
      domain: text,
      sameSite: undefined,
      secure: flag,
      partitioned: flag,
      persistent: undefined,
      former: flag === true ? [{ name: text, domain: text, path: text, partitioned: flag }] : undefined,
    },
    enableCsrf: flag,
    csrf: { allowedOrigins: undefined, requireToken: flag, headerName: text, fieldName: text },
    maxSessionBytes: seconds,
    maxSessionsPerUser: seconds,
    onSessionLimit: undefined,
    revalidateEvery: seconds,
    contexts: undefined,
    isGlobal: flag,
    extraProviders: undefined,
  });

export const parts: SessionModuleOptions = {
  secretKey: 'key',
  cookie: undefined,
  csrf: undefined,
  jwt: undefined,
  backend: undefined,
};

// @ts-expect-error -- a key that is not set would be found out at the start only
export const keyless: SessionModuleOptions = { secretKey: undefined };

export const calls = (
  sessions: SessionService,
  session: Session,
  request: object,
  text: Unknown<string>,
  seconds: Unknown<number>,
  flag: Unknown<boolean>,
) => {
  const client = { ipAddress: text, userAgent: text };
  const methods: ProofOptions['methods'] = flag === true ? ['pwd'] : undefined;
  const lifetime: NewSessionLifetime = { ttl: seconds, absoluteTimeout: seconds, remember: flag };
  const user: NewSessionUser = {
    userId: 'ann',
    username: text,
    email: text,
    roles: undefined,
    permissions: undefined,
    metadata: undefined,
  };
  const created: CreateSessionOptions = { ...lifetime, ...client, user: undefined, data: undefined, methods };
  const spared: EndAllOptions = { except: text, by: text };
  return [
    () => sessions.createSession(created),
    () => sessions.createSession({ user, ...client }),
    () => sessions.getSession('token', client),
    () => sessions.renewSession('token', client),
    () => sessions.setLifetime(session, { ttl: seconds, absoluteTimeout: null }),
    () => sessions.setLifetime(session, { ttl: 5, absoluteTimeout: seconds }),
    () => sessions.deleteSession(session, { by: text }),
    () => sessions.invalidateSession(session, { by: text }),
    () => sessions.deleteUserSessions('ann', spared),
    () => sessions.updateUserSessions('ann', () => undefined, { by: text }),
    () => sessions.regenerateSessionId(session, { grace: seconds }),
    () => sessions.login(request, user, { ...lifetime, methods, transport: undefined }),
    () => sessions.start(request, { data: undefined, transport: undefined }),
    () => sessions.reauthenticate(request, { methods }),
    () => session.getFlashMessages({ clear: flag }),
    () => RequireFresh({ within: 300, methods }),
  ];
};

export const tests = (app: Parameters<typeof logIn>[0], text: Unknown<string>, seconds: Unknown<number>) => [
  () => logIn(app, { userId: 'ann', email: text }, { ipAddress: text, userAgent: text, ttl: seconds }),
  () =>
    fakeSession({
      user: undefined,
      data: undefined,
      ipAddress: text,
      userAgent: text,
      authenticatedAt: undefined,
      authMethods: undefined,
      ttl: seconds,
      clock: undefined,
    }),
  () => backendConformance({ create: () => new MemoryBackend(), aliases: undefined }),
];

export const backends = (text: Unknown<string>, seconds: Unknown<number>): SessionBackend[] => [
  new MemoryBackend({ maxRecords: seconds }),
  new RedisBackend('redis://redis-1', { onEviction: undefined }),
  new MemcachedBackend({ servers: 'memcached-1', username: text, password: text, maxItemSize: seconds }),
];

export const reader: ContextReader = {
  type: 'rpc',
  read: () => ({ request: {}, lifetime: 'request', response: undefined, connection: undefined, message: undefined }),
};
