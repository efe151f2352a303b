import type { ExecutionContext } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { CsrfCheck } from '../csrf/csrf-check.js';
import type { CheckedRequest, CsrfProtection } from '../csrf/csrf-protection.js';
import type { SessionError } from '../errors/session-error.js';
import { SessionUsageError } from '../errors/session-errors.js';
import type { SessionCause, SessionEventOrigin } from '../events/session-event.js';
import type { SessionRejections } from '../events/session-rejections.js';
import { identityOf, type RequestClient } from '../http/client-identity.js';
import type { GateOwner } from '../http/gate-owner.interface.js';
import {
  clientOf,
  isSameRequest,
  rawRequestOf,
  rawResponseOf,
  type PlatformRequest,
  type PlatformResponse,
} from '../http/http-messages.js';
import { ResponseGate } from '../http/response-gate.js';
import type { ResponseLayer } from '../http/response-layer.js';
import { routeOf } from '../http/route-of.js';
import type { Vary } from '../http/vary.js';
import type { TokenSource } from '../options/session-options.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { Connection } from './connection.js';
import type { SessionResponse } from './session-response.js';
import type { SessionResponseWriter } from './session-response-writer.js';
import { NO_TOKEN, type TokenSearch } from './token-finder.js';

/** What a {@link KnownRequest} works with. */
export interface KnownRequestServices {
  readonly csrf: CsrfProtection;
  readonly responseWriter: SessionResponseWriter;
  readonly rejections: SessionRejections;
}

/**
 * What is known of one request by now: the framework's request, the route, the token, the response and its gate. More of it becomes known
 * while the request goes from middleware to guards and handler.
 */
export abstract class KnownRequest implements CheckedRequest {
  abstract readonly commit: GateOwner;
  readonly #services: KnownRequestServices;
  #request: PlatformRequest;
  #context: ExecutionContext | null;
  #search: TokenSearch = NO_TOKEN;
  #gate: ResponseGate | null = null;
  #headersAreWritten = false;
  /** Whether the running exchange was called after the response had begun. Then no cookie can be set. */
  protected isLate = false;
  #csrf: CsrfCheck | undefined;
  #sessionResponse: SessionResponse | undefined;

  /** @param connection null: the request has a response */
  constructor(
    services: KnownRequestServices,
    request: PlatformRequest,
    context: ExecutionContext | null,
    readonly connection: Connection | null,
  ) {
    this.#services = services;
    this.#request = request;
    this.#context = context;
  }

  /** The framework's request; Node's, if a middleware came first. */
  get request(): PlatformRequest {
    return this.#request;
  }

  /** The route, for the marks on it; null: not known yet. */
  get context(): ExecutionContext | null {
    return this.#context;
  }

  /** The client, for bindings and events. */
  get client(): RequestClient {
    return clientOf(this.#request);
  }

  /** Whether the request opened a connection, and this is about a message of it. */
  get isHandshake(): boolean {
    return this.connection?.isHandshake === true;
  }

  /** Whether there is a response that could carry a token. */
  get hasResponse(): boolean {
    return this.connection === null;
  }

  /** For the log. */
  get route(): string {
    return routeOf(this.#request);
  }

  /** The token of the request; nothing before it was looked for. */
  get search(): TokenSearch {
    return this.#search;
  }

  protected set search(search: TokenSearch) {
    this.#search = search;
    // It belongs to an earlier search, which is repeated because more is known now.
    this.#sessionResponse = undefined;
  }

  /** Whether the token came in the cookie, which a browser sends with requests of other sites too. */
  get tokenIsInCookie(): boolean {
    return this.#search.token?.source === 'cookie';
  }

  /** The gate of its response; null: the response is not known yet, or its head was sent before. */
  get gate(): ResponseGate | null {
    return this.#gate;
  }

  get headersAreWritten(): boolean {
    return this.#headersAreWritten;
  }

  /** Whether the client has gone before its response was through. */
  get clientHasGone(): boolean {
    return this.isDisconnected && this.#gate?.response.writableFinished !== true;
  }

  /** Whether the connection is closed, in HTTP/2 the stream of this request. There a response counts as finished then. */
  protected get isDisconnected(): boolean {
    const { socket } = rawRequestOf(this.#request) as Partial<IncomingMessage>;
    return socket?.destroyed === true;
  }

  /** Whether Node knows this request as `raw`. */
  isOf(raw: IncomingMessage): boolean {
    return isSameRequest(rawRequestOf(this.#request), raw);
  }

  /**
   * Learns of the framework's request, which knows address, scheme, host and body, where a middleware had only Node's; and of the route.
   *
   * @returns what is new; null: nothing
   */
  protected learn(request: PlatformRequest, context: ExecutionContext | null): 'request' | 'route' | null {
    const isNewRequest = request !== this.#request && Object.is(rawRequestOf(request), this.#request);
    const isNewRoute = context !== null && !isSameRoute(context, this.#context);
    if (isNewRequest) this.#request = request;
    if (isNewRoute) this.#context = context;
    if (isNewRequest) return 'request';
    return isNewRoute ? 'route' : null;
  }

  /** Called when the response is known: its gate then calls `commit`. After the head is sent, nothing can be stored or sent with it any more. */
  attach(response: PlatformResponse, layer: ResponseLayer | null): void {
    if (this.#gate !== null || this.#headersAreWritten) return;
    const raw = rawResponseOf(response);
    if (raw.headersSent) this.#headersAreWritten = true;
    else this.#gate = new ResponseGate(raw, this.commit, layer);
  }

  /** The CSRF check. Used only if the token came from the cookie, or a cookie is to be set. */
  get csrf(): CsrfCheck {
    return (this.#csrf ??= new CsrfCheck(this.#services.csrf, this, (error, sessionId) => {
      this.report(error, sessionId);
    }));
  }

  /** The same, if it was used. */
  get csrfInUse(): CsrfCheck | undefined {
    return this.#csrf;
  }

  /** What the response says about the session. A session that is only read needs none. */
  get sessionResponse(): SessionResponse {
    return (this.#sessionResponse ??= this.#services.responseWriter.newResponse(this, this.#search));
  }

  /** The same, if it says anything. */
  get sessionResponseInUse(): SessionResponse | undefined {
    return this.#sessionResponse;
  }

  /**
   * Called when the head of a response with `status` is made.
   *
   * @returns `Vary`, if the response says nothing else about the session, as for nearly every request; then all of its headers are written
   */
  varyAlone(status: number): Vary | null {
    if (this.#sessionResponse !== undefined) return null;
    const vary = this.#services.responseWriter.varyAlone(rawRequestOf(this.#request), status, this.#dependsOnOrigin);
    if (vary !== null) this.#headersAreWritten = true;
    return vary;
  }

  writeHeaders(response: ServerResponse): void {
    this.#headersAreWritten = true;
    const request = rawRequestOf(this.#request);
    this.#services.responseWriter.write(request, response, this.#sessionResponse ?? null, this.#dependsOnOrigin);
  }

  get #dependsOnOrigin(): boolean {
    return this.#csrf?.dependsOnOrigin === true;
  }

  /**
   * The transport by which the token of a new session goes.
   *
   * @param requested undefined: the caller has named none
   * @throws SessionUsageError when it is too late for a cookie, or the response is not known, or there is none that could bring a cookie
   */
  transportFor(requested: TokenSource | undefined): TokenSource {
    if (!this.hasResponse) return withoutCookie(requested);
    if (this.#gate === null && !this.#headersAreWritten) throw responseUnknownError();
    const transport = requested ?? this.#transport ?? this.#services.responseWriter.transports.preferred;
    if (transport !== 'cookie' || !(this.#headersAreWritten || this.isLate)) return transport;
    throw new SessionUsageError(
      'The response has begun, so no cookie can be sent with it: call this before, or use another transport.',
    );
  }

  /** The client and the call that an event names. */
  eventOrigin(cause: SessionCause, transport: TokenSource | null = this.#transport): SessionEventOrigin {
    return { cause, ...identityOf(this.client), transport };
  }

  get #transport(): TokenSource | null {
    return this.#sessionResponse?.transport ?? this.#search.token?.source ?? null;
  }

  /** Reports why the request has no session. */
  report(error: SessionError, sessionId: SessionId | null): void {
    this.#services.rejections.report(error, this.client, sessionId);
  }
}

/** The caller gets the token, and sends it. */
function withoutCookie(transport: TokenSource = 'header'): TokenSource {
  if (transport !== 'cookie') return transport;
  throw new SessionUsageError(
    'There is no response here with which a cookie could be sent: use another transport, and send the token that is returned.',
  );
}

function responseUnknownError(): SessionUsageError {
  return new SessionUsageError(
    'The response of this request is not known to SessionModule, or was sent already, so no token can be sent with it. Call this before the response, behind SessionGuard, a session decorator or @UseSession(), or pass the ExecutionContext.',
  );
}

function isSameRoute(context: ExecutionContext, known: ExecutionContext | null): boolean {
  if (context === known) return true;
  return known?.getHandler() === context.getHandler() && known.getClass() === context.getClass();
}
