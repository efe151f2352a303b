import { Injectable, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { SKIP_CSRF } from './skip-csrf.decorator.js';
import { SessionCsrfError } from '../errors/session-errors.js';
import { SessionCsrfOptions } from '../options/session-csrf-options.js';
import { SessionOptions } from '../options/session-options.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import { RouteMark } from '../route-mark.js';
import { Session } from '../sessions/session.js';
import type { SessionId } from '../tokens/session-secret.js';
import { CsrfTokens } from './csrf-tokens.js';
import { originKindOf } from './request-origin.js';

/** RFC 9110, section 9.2.1: these methods change nothing, so a forged request does no harm. */
const SAFE_METHODS: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** A request that is checked. */
export interface CheckedRequest {
  readonly request: PlatformRequest;
  /** For decorators of the route, such as `@SkipCsrf()`; `null` if the route is not known yet. */
  readonly context: ExecutionContext | null;
  /** Whether `request` opened a connection. */
  readonly isHandshake: boolean;
}

/**
 * Distinguishes same-origin requests from those that another site makes a browser send with our cookie (OWASP: Fetch Metadata first,
 * otherwise a token bound to the session). A request with its session token in a header needs no check: another site cannot make a browser send it.
 */
@Injectable()
export class CsrfProtection {
  /** The header that carries the CSRF token in requests and responses. */
  readonly headerName: string;
  readonly #skipped: RouteMark;
  readonly #headerKey: string;
  readonly #fieldName: string;
  readonly #enabled: boolean;
  readonly #requireToken: boolean;
  readonly #allowedOrigins: ReadonlySet<string>;

  constructor(
    { enableCsrf, csrf = new SessionCsrfOptions() }: SessionOptions,
    private readonly tokens: CsrfTokens,
    reflector: Reflector,
  ) {
    this.#skipped = new RouteMark(SKIP_CSRF, reflector);
    this.headerName = csrf.headerName;
    this.#headerKey = csrf.headerName.toLowerCase();
    this.#fieldName = csrf.fieldName;
    this.#enabled = enableCsrf;
    this.#requireToken = csrf.requireToken;
    this.#allowedOrigins = new Set(csrf.allowedOrigins);
  }

  /** A CSRF token for the pages of the session `id`; `null` if `enableCsrf` is off. */
  issue(id: SessionId): string | null {
    return this.#enabled ? this.tokens.issue(id) : null;
  }

  /** Whether a page of another site that `csrf.allowedOrigins` does not list sent `request`. Always false with `enableCsrf` off. */
  isCrossSite(request: PlatformRequest): boolean {
    const isMarked = rawRequestOf(request).headers['sec-fetch-site'] === 'cross-site';
    return isMarked && this.#enabled && originKindOf(request, this.#allowedOrigins) !== 'own';
  }

  /**
   * Whether a request whose token came from the cookie is checked: unless its method is safe, or `@SkipCsrf()` excepts its route. A handshake is a
   * GET, and yet what it opens may change everything. No mark excepts it, because it comes before all routes.
   */
  appliesTo({ request, context, isHandshake }: CheckedRequest): boolean {
    if (!this.#enabled) return false;
    if (isHandshake) return true;
    if (SAFE_METHODS.has(rawRequestOf(request).method)) return false;
    return context === null || !this.isSkipped(context);
  }

  /**
   * Checks the headers of the browser; if they are missing, checks the CSRF token.
   *
   * @param id the session of the cookie; `null` if the response will set a cookie for a new session
   * @param session the same, if it is loaded; the token may be for another id that it has, or had a moment ago
   * @throws SessionCsrfError
   */
  checkOrigin({ request, isHandshake }: CheckedRequest, id: SessionId | null, session: Session | null): void {
    const origin = originKindOf(request, this.#allowedOrigins);
    switch (origin) {
      case 'foreign':
        throw new SessionCsrfError(
          'CSRF_CROSS_SITE',
          "A page of another origin sent this request. To allow it, add its origin to csrf.allowedOrigins. If it is the application's own, the application does not know its own origin: behind a proxy that ends TLS, let the framework trust the proxy.",
        );
      case 'own':
        return;
      case 'unknown': {
        // A browser names the origin of each page that opens a connection (RFC 6455, section 4.1), so this is another client.
        if (isHandshake && rawRequestOf(request).headers.origin === undefined && !isByScript(request)) return;
        const token = this.#tokenIn(request);
        if (token === null) throw this.#missingToken();
        if (id !== null && this.tokens.verify(token, id)) return;
        if (session !== null && this.#fits(token, session)) return;
        throw wrongTokenError();
      }
      default:
        origin satisfies never;
    }
  }

  /**
   * Checks the CSRF token of a same-origin request. A page that was loaded for an earlier user sends the token of another session. For an
   * anonymous session there is no user to confuse, so the token is checked only with `requireToken`.
   *
   * @param session `null`: no more is known of it than its id, `knownId`
   * @param knownId the session that the request has replaced by this one, after which its page does not know the new one
   * @returns the refusal, or `null` if the request may use `session`
   */
  refusalOfToken(
    request: PlatformRequest,
    session: Session | null,
    knownId: SessionId | null = null,
  ): SessionCsrfError | null {
    const token = this.#tokenIn(request);
    if (token === null) return this.#requireToken ? this.#missingToken() : null;
    if (session?.isAnonymous === true && !this.#requireToken) return null;
    if (knownId !== null && this.tokens.verify(token, knownId)) return null;
    return session !== null && this.#fits(token, session) ? null : wrongTokenError();
  }

  /** Whether the CSRF token of a request may be one of another session id. */
  hasWellFormedToken(request: PlatformRequest): boolean {
    const token = this.#tokenIn(request);
    return token !== null && this.tokens.isWellFormed(token);
  }

  /**
   * A page that was loaded before the session got a new id has a token for the old one. It fits during the grace; after `rotateEvery` as long
   * as the session has the new id, because the response that brings the new id may be such a page.
   */
  #fits(token: string, session: Session): boolean {
    if (this.tokens.verify(token, session.sessionId)) return true;
    return Session.stateOf(session)
      .formerIds()
      .some((id) => this.tokens.verify(token, id));
  }

  #missingToken(): SessionCsrfError {
    const places = `a CSRF token in the header ${this.headerName}, or in the field ${this.#fieldName} of a body that is parsed before the check (one of multipart/form-data is not, unless a middleware parses it)`;
    return new SessionCsrfError(
      'CSRF_TOKEN_MISSING',
      this.#requireToken
        ? `An unsafe request with a session cookie needs ${places}, because csrf.requireToken is on.`
        : `An unsafe request with a session cookie needs Sec-Fetch-Site, Origin or ${places}. A client that is not a browser should send the session token in a header instead of a cookie.`,
    );
  }

  /** Reads the token from the header, otherwise from the body; an empty text is no token. Not from the URL, which is written to logs, nor from a cookie, which other sites may set. */
  #tokenIn(request: PlatformRequest): string | null {
    const header = rawRequestOf(request).headers[this.#headerKey];
    if (typeof header === 'string' && header !== '') return header;
    const { body } = request;
    if (typeof body !== 'object' || body === null || !Object.hasOwn(body, this.#fieldName)) return null;
    const field: unknown = (body as Record<string, unknown>)[this.#fieldName];
    return typeof field === 'string' && field !== '' ? field : null;
  }

  /** Whether `@SkipCsrf()` is on the route, or on its controller. */
  isSkipped(context: ExecutionContext): boolean {
    return this.#skipped.isOn(context);
  }
}

/** Long polling for old browsers: a page of any origin may load the response as a script and read it, and its browser names no origin then. */
function isByScript(request: PlatformRequest): boolean {
  const { url } = rawRequestOf(request);
  return url?.includes('?') === true && new URLSearchParams(url.slice(url.indexOf('?'))).has('j');
}

function wrongTokenError(): SessionCsrfError {
  return new SessionCsrfError(
    'CSRF_TOKEN_INVALID',
    'The CSRF token does not belong to this session. Reload the page, or send the token that @CsrfToken() provides for the current session.',
  );
}
