import { Injectable, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { SKIP_CSRF } from './skip-csrf.decorator.js';
import { SessionCsrfError } from '../errors/session-errors.js';
import { SessionCsrfOptions } from '../options/session-csrf-options.js';
import { SessionOptions } from '../options/session-options.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { Session } from '../sessions/session.js';
import type { SessionId } from '../tokens/session-secret.js';
import { CsrfTokens } from './csrf-tokens.js';
import { originOf } from './request-origin.js';

/** RFC 9110, section 9.2.1: these change nothing, so there is nothing to forge. */
const SAFE_METHODS: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** How a request is treated whose session came in the cookie: it can do no harm, its route is exempt, or it is checked. */
export type CsrfRule = 'safe' | 'skipped' | 'checked';

/**
 * Tells requests of our own pages from those that another site makes a browser send with our cookie (OWASP: Fetch Metadata first, else a
 * token bound to the session). What carries its token in a header needs none of this: no other site can make a browser do that.
 */
@Injectable()
export class CsrfProtection {
  /** The header of the token, both ways. */
  readonly headerName: string;
  readonly #headerKey: string;
  readonly #fieldName: string;
  readonly #enabled: boolean;
  readonly #requireToken: boolean;
  readonly #allowedOrigins: ReadonlySet<string>;

  constructor(
    { enableCsrf, csrf = new SessionCsrfOptions() }: SessionOptions,
    private readonly tokens: CsrfTokens,
    private readonly reflector: Reflector,
  ) {
    this.headerName = csrf.headerName;
    this.#headerKey = csrf.headerName.toLowerCase();
    this.#fieldName = csrf.fieldName;
    this.#enabled = enableCsrf;
    this.#requireToken = csrf.requireToken;
    this.#allowedOrigins = new Set(csrf.allowedOrigins);
  }

  /** A token for the pages of the session `id`; null when none is needed. */
  issue(id: SessionId): string | null {
    return this.#enabled ? this.tokens.issue(id) : null;
  }

  /** Whether a page of another site, which `csrf.allowedOrigins` does not name, has sent `request`. With `enableCsrf` off: unknown, so false. */
  isCrossSite(request: PlatformRequest): boolean {
    const isMarked = rawRequestOf(request).headers['sec-fetch-site'] === 'cross-site';
    return isMarked && this.#enabled && originOf(request, this.#allowedOrigins) !== 'own';
  }

  ruleFor(request: PlatformRequest, context: ExecutionContext | null): CsrfRule {
    if (!this.#enabled || SAFE_METHODS.has(rawRequestOf(request).method)) return 'safe';
    return context !== null && this.#isSkipped(context) ? 'skipped' : 'checked';
  }

  /**
   * By the headers of the browser, and by the token where they do not say.
   *
   * @param id the session that the cookie names; null: there is none, and the response is to set one
   * @throws SessionCsrfError
   */
  assertOwnOrigin(request: PlatformRequest, id: SessionId | null): void {
    const origin = originOf(request, this.#allowedOrigins);
    switch (origin) {
      case 'foreign':
        throw new SessionCsrfError(
          'CSRF_CROSS_SITE',
          'A page of another origin has sent this request; if it may, name its origin in csrf.allowedOrigins.',
        );
      case 'own':
        return;
      case 'unknown': {
        const token = this.#tokenIn(request);
        if (token === null) throw this.#missingToken();
        if (id === null || !this.tokens.verify(token, id)) throw wrongToken();
        return;
      }
      default:
        origin satisfies never;
    }
  }

  /**
   * Why the living `session` is not for a request of our own origin: it sends the token of another session, as the page of a user who was
   * signed in before does. Without a user there is no user to be mistaken for, unless `requireToken` asks for the token in any case.
   */
  refusalOfToken(request: PlatformRequest, { sessionId, isAnonymous }: Session): SessionCsrfError | null {
    const token = this.#tokenIn(request);
    if (token === null) return this.#requireToken ? this.#missingToken() : null;
    if (isAnonymous && !this.#requireToken) return null;
    return this.tokens.verify(token, sessionId) ? null : wrongToken();
  }

  #missingToken(): SessionCsrfError {
    return new SessionCsrfError(
      'CSRF_TOKEN_MISSING',
      this.#requireToken
        ? `An unsafe request with a cookie needs a token in ${this.headerName}, as csrf.requireToken says.`
        : `An unsafe request with a cookie needs Sec-Fetch-Site, an Origin or a token in ${this.headerName}; clients that are no browsers had better carry the session's token in a header.`,
    );
  }

  /** In the header, else in the body; never in the URL, which ends up in logs, nor in a cookie, which others may set. */
  #tokenIn(request: PlatformRequest): string | null {
    const header = rawRequestOf(request).headers[this.#headerKey];
    if (typeof header === 'string' && header !== '') return header;
    const { body } = request;
    if (typeof body !== 'object' || body === null || !Object.hasOwn(body, this.#fieldName)) return null;
    const field: unknown = (body as Record<string, unknown>)[this.#fieldName];
    return typeof field === 'string' ? field : null;
  }

  #isSkipped(context: ExecutionContext): boolean {
    const marked = [context.getHandler(), context.getClass()];
    return this.reflector.getAllAndOverride<boolean | undefined>(SKIP_CSRF, marked) ?? false;
  }
}

function wrongToken(): SessionCsrfError {
  return new SessionCsrfError('CSRF_TOKEN_INVALID', 'The CSRF token does not belong to this session.');
}
