// The decorators below need it, and this file may be the first of all to load.
import 'reflect-metadata';

import { Type } from 'class-transformer';
import { IsIn, IsInstance, IsOptional, IsString, Matches, ValidateIf, ValidateNested } from 'class-validator';
import type { IncomingHttpHeaders } from 'node:http';

import type { TokenSerializer } from '../tokens/token-serializer.interface.js';
import { IsFunction } from './is-function.js';
import type { ContextReader } from './context-reader.interface.js';
import { AreContextReaders } from './are-context-readers.js';
import { IsHeaderName } from './is-header-name.js';
import { IsIndexKey } from './is-index-key.js';
import { IsIpBinding } from './is-ip-binding.js';
import { IsNumberBetween } from './is-number-between.js';
import { BACKEND_METHODS, SERIALIZER_METHODS } from './assert-provided.js';
import { IsObjectWith } from './is-object-with.js';
import { IsSecretKeys } from './is-secret-key.js';
import { IsTokenSources } from './is-token-sources.js';
import { IsTrueOrFalse } from './is-true-or-false.js';
import type { OrUndefined } from './or-undefined.js';
import { SessionCookieOptions } from './session-cookie-options.js';
import { SessionCsrfOptions } from './session-csrf-options.js';
import { SessionJwtOptions } from './session-jwt-options.js';
import { AreLifetimes, LONGEST_LIFETIME_S, type SessionLifetimesOptions } from './session-lifetimes-options.js';

/** The limit of Node's timers. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;
/** The limit of a Redis string. */
const LARGEST_SESSION_BYTES = 536_870_912;
/** The longest that an old id may be used beside the new one, seconds. */
export const LONGEST_GRACE_S = 300;
const KEY_PREFIX = /^[\x21-\x7a|~]{0,100}$/;

/** Where a token may stand in a request. */
export type TokenSource = 'header' | 'bearer' | 'cookie';

/** How much of the client's address a session is bound to. */
export interface IpNetworkBinding {
  /** Leading bits of an IPv4 address that must stay the same, 1 to 32. Default 32. */
  readonly ipv4Prefix?: number | undefined;
  /** Leading bits of an IPv6 address that must stay the same, 1 to 128. Default 128; 64 is one home or office. */
  readonly ipv6Prefix?: number | undefined;
}

/** The parts that the requests of Express, of Fastify and of Node have in common. */
export interface PassiveRequest {
  /** The path with the query. */
  readonly url: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/** Whether a request is no use of its session. Declared as a method, so that a function of Express's or Fastify's request fits too. */
export type PassiveCheck = { check(request: PassiveRequest): boolean }['check'];

/** The settings of the module. Every one is checked when the application starts; a fault stops it with a list of all faults. */
export class SessionOptions {
  /**
   * Signs the tokens: at least 32 characters, such as {@link generateSecretKey} makes. A list rotates keys: the first signs, all verify,
   * and a client with an old token gets a new one under the first key.
   */
  @IsSecretKeys()
  secretKey!: string | readonly string[];

  /**
   * Key of the tag by which a user's sessions are found. Default: `secretKey`; required where that is a list of several keys. A change of it
   * signs all users out: sessions that were created under another key are refused, because log out everywhere would miss them.
   */
  @IsIndexKey()
  indexKey?: string;

  /**
   * Seconds without use after which a session ends, at the latest. A use renews the session only after the fraction `slidingThreshold` of
   * them, so an unused session ends after `1 - slidingThreshold` of them at the earliest. Default 3600. ASVS 7.3.1.
   */
  @IsNumberBetween(0.001, LONGEST_LIFETIME_S, 'seconds')
  sessionTtl: number = 3600;

  /** Seconds after which a session ends, regardless of use; `null` for no limit. Default `null`. ASVS 7.3.2. */
  @IsOptional()
  @IsNumberBetween(0.001, LONGEST_LIFETIME_S, 'seconds')
  absoluteTimeout: number | null = null;

  /**
   * Lifetimes that differ from `sessionTtl` and `absoluteTimeout`: of sessions without a user, and of sessions whose user asked to be
   * remembered. Default: none differ, and `login(…, { remember: true })` is an error.
   */
  @ValidateIf(({ lifetimes }: SessionOptions) => lifetimes !== undefined)
  @AreLifetimes()
  lifetimes?: SessionLifetimesOptions;

  /** Whether use moves the idle expiry to a later time. Default true. */
  @IsTrueOrFalse()
  slidingExpiration: boolean = true;

  /** Fraction of the lifetime that must have passed before a use renews the session: 0 at every use, 1 never before the end. Default 0.5. */
  @IsNumberBetween(0, 1, '')
  slidingThreshold: number = 0.5;

  /** The least number of seconds between two writes of the last use to the store. Default 60. */
  @IsNumberBetween(0, LONGEST_LIFETIME_S, 'seconds')
  touchInterval: number = 60;

  /**
   * Whether a request is no use of its session, such as a poll that a page sends by itself: the session is read and not renewed. Gets the
   * request of the framework (of Node, in a middleware before it), and is called only when a renewal is due, or `lastAccessed` is read. It must not be async. If it throws,
   * the session is not renewed, and the error is logged. Default: none is; see `@Passive()` for single routes. ASVS 7.3.1.
   */
  @IsOptional()
  @IsFunction('passive must be a function, such as (request) => request.url.startsWith("/poll")')
  passive?: PassiveCheck;

  /**
   * Seconds after which a use gives a session a new id and the client its token, so that a stolen token does not work for long; `null` for never.
   * For `rotateGrace` the old id is an alias of the session. Default `null`. OWASP Session Management Cheat Sheet, "Renewal Timeout".
   */
  @IsOptional()
  @IsNumberBetween(1, LONGEST_LIFETIME_S, 'seconds')
  rotateEvery: number | null = null;

  /**
   * Seconds for which requests with the old id are served after `rotateEvery` has given a session a new one: those that were sent before the new
   * token arrived. Default 10.
   */
  @IsNumberBetween(0.001, LONGEST_GRACE_S, 'seconds')
  rotateGrace: number = 10;

  /**
   * What a use of an old id does after its grace, beside a 401 and the event `reused`: `'ignore'` nothing, `'end-session'` ends the session,
   * `'end-user-sessions'` all sessions of its user. Default `'ignore'`, as the cause may be a client that slept.
   */
  @IsIn(['ignore', 'end-session', 'end-user-sessions'])
  onReuse: 'ignore' | 'end-session' | 'end-user-sessions' = 'ignore';

  /** The header that carries the token in, and a new or renewed token out. Default `X-Session-Token`. */
  @IsHeaderName('headerName')
  headerName: string = 'X-Session-Token';

  /** Whether the token is read from `Authorization: Bearer` (RFC 6750). Default true. */
  @IsTrueOrFalse()
  useBearerToken: boolean = true;

  /** Where the token is searched for, in this order. Default header, bearer; for browsers add `'cookie'`. */
  @IsTokenSources()
  tokenSourcePriority: readonly TokenSource[] = ['header', 'bearer'];

  /**
   * `'simple'`, 100 characters; `'jwt'`, a JSON Web Token, for which the package `jose` must be installed; or a serializer of your own. A change
   * signs all users out. Default `'simple'`.
   */
  @IsObjectWith(SERIALIZER_METHODS, {
    or: ['simple', 'jwt'],
    message: "tokenFormat must be 'simple', 'jwt' or a TokenSerializer",
  })
  tokenFormat: 'simple' | 'jwt' | TokenSerializer = 'simple';

  /** Claims of the tokens, when `tokenFormat` is `'jwt'`. Default: see {@link SessionJwtOptions}. */
  @ValidateIf(({ jwt }: SessionOptions) => jwt !== undefined)
  @IsInstance(SessionJwtOptions, { message: 'jwt must be an object, such as { issuer: "https://id.example.com" }' })
  @ValidateNested()
  @Type(() => SessionJwtOptions)
  jwt?: SessionJwtOptions;

  /**
   * Whether a session works only from the address for which it was created: true the same address, prefixes the same network. The address is
   * the one that the framework reports (`trust proxy`, `trustProxy`). Default false.
   */
  @IsIpBinding()
  ipBinding: boolean | IpNetworkBinding = false;

  /** Whether a session works only with the User-Agent for which it was created. Default false. */
  @IsTrueOrFalse()
  userAgentBinding: boolean = false;

  /**
   * Whether `login()` carries the data and flash messages of an anonymous session, or of one of the same user, over. The id is new in any case.
   * Default true.
   */
  @IsTrueOrFalse()
  regenerateOnLogin: boolean = true;

  /** Where sessions live. Default: a `MemoryBackend`, for one process. */
  @ValidateIf(({ backend }: SessionOptions) => backend !== undefined)
  @IsObjectWith(BACKEND_METHODS, {
    message: 'backend must be a SessionBackend, such as new RedisBackend(url)',
  })
  backend?: object;

  /** Put before every key in the store. Default `session:`. Part of the tokens' signature too. */
  @IsString()
  @Matches(KEY_PREFIX, {
    message: 'backendKeyPrefix is at most 100 printable ASCII characters without spaces and braces',
  })
  backendKeyPrefix: string = 'session:';

  /**
   * Milliseconds that the store may take for one request: to load its session, to exchange it and to store its changes, together; then there is a
   * 503. Each other call of `SessionService` has as long for itself. Default 1000.
   */
  @IsNumberBetween(1, LONGEST_TIMEOUT_MS, 'milliseconds', { whole: true })
  backendTimeout: number = 1000;

  /**
   * Seconds between two looks at the sessions that `whileAlive()`, `untilEnded()` and `@EndsWithSession()` watch, all of them together: the longest that
   * a connection outlives its session where the store cannot notify of the end, as Memcached, or a notice was lost. While nothing is watched there are
   * none. 0.1 to 86,400. Default 10. ASVS 7.4.1.
   */
  @IsNumberBetween(0.1, 86_400, 'seconds')
  liveCheckInterval: number = 10;

  /** The cookie, when `tokenSourcePriority` names it. Default: see {@link SessionCookieOptions}. */
  @ValidateIf(({ cookie }: SessionOptions) => cookie !== undefined)
  @IsInstance(SessionCookieOptions, { message: 'cookie must be an object, such as { sameSite: "strict" }' })
  @ValidateNested()
  @Type(() => SessionCookieOptions)
  cookie?: SessionCookieOptions;

  /**
   * Whether unsafe requests (all but GET, HEAD, OPTIONS and TRACE) whose session came in the cookie must prove that they are same-origin, and so must
   * requests whose response would set a cookie with a new session. Default true; it does not apply to tokens in headers. ASVS 3.5.1.
   */
  @IsTrueOrFalse()
  enableCsrf: boolean = true;

  /** What counts as such a proof. Default: see {@link SessionCsrfOptions}. */
  @ValidateIf(({ csrf }: SessionOptions) => csrf !== undefined)
  @IsInstance(SessionCsrfOptions, {
    message: 'csrf must be an object, such as { allowedOrigins: ["https://app.example.com"] }',
  })
  @ValidateNested()
  @Type(() => SessionCsrfOptions)
  csrf?: SessionCsrfOptions;

  /**
   * The largest session, in bytes of UTF-8 as it is stored, on every store. A change that makes a session larger is refused with
   * a `SessionDataError` (413), and the stored session is unchanged; one by `updateUserSessions()` is not. Default 65,536.
   */
  @IsNumberBetween(256, LARGEST_SESSION_BYTES, 'bytes', { whole: true })
  maxSessionBytes: number = 65_536;

  /** The most living sessions of one user, at least 1; `null` for no limit. Default 100. ASVS 7.1.2. */
  @IsOptional()
  @IsNumberBetween(1, Number.MAX_SAFE_INTEGER, 'sessions', { whole: true })
  maxSessionsPerUser: number | null = 100;

  /**
   * What happens at a login beyond that number: `'evict-oldest'` ends the least recently used session (ties: by id), `'reject'` is a
   * `SessionConflictError`. Default `'evict-oldest'`.
   */
  @IsIn(['evict-oldest', 'reject'])
  onSessionLimit: 'evict-oldest' | 'reject' = 'evict-oldest';

  /**
   * Seconds for which the messages of a connection share one look-up of its session. Default 0: each message looks it up, so that none is handled
   * for a session that has ended.
   */
  @IsNumberBetween(0, LONGEST_LIFETIME_S, 'seconds')
  revalidateEvery: number = 0;

  /**
   * Readers for contexts that are not HTTP, GraphQL, WebSockets or gRPC, such as messages of NATS or Kafka. They are used before those that come with
   * the module. Default: none.
   */
  @AreContextReaders()
  contexts: readonly ContextReader[] = [];
}

/** The options as an application writes them: everything but `secretKey` has a default. `forRoot` adds the type of `backend`. */
export type GivenSessionOptions = OrUndefined<
  Pick<SessionOptions, 'secretKey'> &
    Partial<Omit<SessionOptions, 'secretKey' | 'cookie' | 'csrf' | 'jwt'>> & {
      cookie?: OrUndefined<Partial<SessionCookieOptions>>;
      csrf?: OrUndefined<Partial<SessionCsrfOptions>>;
      jwt?: OrUndefined<Partial<SessionJwtOptions>>;
    }
>;
