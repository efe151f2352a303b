import { Injectable, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import { SKIP_CSRF } from '../decorators/route-metadata.js';
import { SessionCsrfError } from '../errors/session-errors.js';
import { SessionCsrfOptions } from '../options/session-csrf-options.js';
import { SessionOptions } from '../options/session-options.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { SessionId } from '../tokens/session-secret.js';
import { CsrfTokens } from './csrf-tokens.js';
import { originOf } from './request-origin.js';

/** RFC 9110, section 9.2.1: these change nothing, so there is nothing to forge. */
const SAFE_METHODS: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

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

  /** A token for the pages of the session `id`; null when none is asked for. */
  issue(id: SessionId): string | null {
    return this.#enabled ? this.tokens.issue(id) : null;
  }

  /** What becomes of a request that the cookie speaks for: it can do no harm, its route answers for it, or it has to be checked. */
  ruleFor(request: PlatformRequest, context: ExecutionContext | null): 'safe' | 'skipped' | 'checked' {
    if (!this.#enabled || SAFE_METHODS.has(rawRequestOf(request).method)) return 'safe';
    return context !== null && this.#isSkipped(context) ? 'skipped' : 'checked';
  }

  /**
   * @param id the session that the cookie names; null: there is none, and the response is to set one
   * @throws SessionCsrfError
   */
  check(request: PlatformRequest, id: SessionId | null): void {
    const origin = originOf(request, this.#allowedOrigins);
    switch (origin) {
      case 'foreign':
        throw new SessionCsrfError(
          'CSRF_CROSS_SITE',
          'A page of another origin has sent this request; if it may, name its origin in csrf.allowedOrigins.',
        );
      case 'own':
        if (this.#requireToken && id !== null) this.#checkToken(request, id);
        return;
      case 'unknown':
        this.#checkToken(request, id);
        return;
      default:
        origin satisfies never;
    }
  }

  #checkToken(request: PlatformRequest, id: SessionId | null): void {
    const token = this.#tokenIn(request);
    if (token === null) {
      throw new SessionCsrfError(
        'CSRF_TOKEN_MISSING',
        `An unsafe request with a cookie needs Sec-Fetch-Site, Origin or a token in ${this.headerName}; clients that are no browsers had better carry the session's token in a header.`,
      );
    }
    if (id !== null && this.tokens.verify(token, id)) return;
    throw new SessionCsrfError('CSRF_TOKEN_INVALID', 'The CSRF token does not belong to this session.');
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
