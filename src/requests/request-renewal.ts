import { Injectable } from '@nestjs/common';

import { CsrfProtection } from '../csrf/csrf-protection.js';
import { rawRequestOf } from '../http/http-messages.js';
import { hasReader } from '../http/response-reader.js';
import { SessionRenewal } from '../sessions/session-renewal.js';
import { SessionRotation } from '../sessions/session-rotation.js';
import { Session } from '../sessions/session.js';
import type { StoreBudget } from '../store/store-budget.js';
import type { KnownRequest } from './known-request.js';
import { PassiveRequests } from './passive-requests.js';

/** A request that uses a session. */
export interface RenewedRequest extends KnownRequest {
  readonly budget: StoreBudget;
  /** A request renews once. */
  isRenewed: boolean;
  /** Whether the session gets a new id just before the head of the response. */
  rotatesAtHead: boolean;
}

/** What the use of a session by a request renews, when it is due: the times of the session, the token of the client, the id. */
@Injectable()
export class RequestRenewal {
  /** `null`: `rotateEvery` is off. */
  readonly #rotation: SessionRotation | null;

  constructor(
    private readonly renewal: SessionRenewal,
    private readonly passive: PassiveRequests,
    private readonly csrf: CsrfProtection,
    rotation: SessionRotation,
  ) {
    this.#rotation = rotation.isOn ? rotation : null;
  }

  /** Whether `request` is no use of its session, as far as its route is known. */
  isPassive({ request, context, route }: KnownRequest): boolean {
    return this.passive.has(request, context, route);
  }

  /** Whether a request whose route is not known would renew something. */
  isDue(request: RenewedRequest, session: Session): boolean {
    const { token } = request.search;
    if (request.isRenewed || token === null || Session.stateOf(session).clientHasOldId) return false;
    if (this.#rotation?.isDue(session) === true && request.gate !== null) return this.#hasReader(request);
    return this.renewal.isDue(session, token.verified, request.tokenIsInCookie);
  }

  /**
   * Renews what is due. Not after the head: a token could not go out any more. A new id waits for the head, because the grace of the old one
   * must not end before the client has the token, however long the handler takes.
   *
   * @returns `null` if nothing is due, as for nearly every request
   */
  renew(request: RenewedRequest, session: Session): Promise<void> | null {
    const { token, hasSeveralCookies } = request.search;
    if (request.isRenewed || token === null || request.headersAreWritten) return null;
    const rotation = this.#rotation?.isDue(session) === true ? this.#rotation : null;
    const verified = request.hasResponse ? token.verified : null;
    const isDue = rotation !== null || this.renewal.isDue(session, verified, request.tokenIsInCookie);
    const tidies = hasSeveralCookies && request.hasResponse && request.sessionResponse.tidiesCookies;
    if (!isDue && !tidies) return null;
    // By an old id nothing is renewed: its client has the newer token, or gets it by another response. That, and the mark of the route, are read
    // only now, because nearly no request renews anything.
    if (Session.stateOf(session).clientHasOldId || this.isPassive(request)) return null;
    request.isRenewed = true;
    if (rotation !== null && request.gate !== null) {
      // A client chooses its headers: it must not keep the session alive under an old id by those that spare it the new one.
      if (!this.#hasReader(request)) return null;
      request.rotatesAtHead = true;
      return this.renewal.renewExpiry(session, request.budget);
    }
    const renewed = this.renewal.renew(session, verified, request.tokenIsInCookie, request.budget);
    if (renewed === null) {
      if (tidies) request.sessionResponse.renew(session, token.text);
      return null;
    }
    return renewed.then((text) => {
      if (text !== null) request.sessionResponse.renew(session, text);
      else if (tidies) request.sessionResponse.renew(session, token.text);
    });
  }

  /** Called after the lifetime of the request's session was changed: a persistent cookie must expire with it. */
  async lifetimeChanged(request: RenewedRequest, session: Session): Promise<void> {
    const { token } = request.search;
    // By an old id the client has a newer token, or gets it by another response.
    if (token === null || request.headersAreWritten || !request.hasResponse || Session.stateOf(session).clientHasOldId)
      return;
    // A token that goes out anyway tells the new end.
    if (request.sessionResponseInUse !== undefined && request.sessionResponseInUse.outgoingKind !== null) return;
    const text = await this.renewal.tokenAfterChange(session, token.verified, request.tokenIsInCookie);
    if (text !== null) request.sessionResponse.renew(session, text);
  }

  /** Whether the client sees a new token. If not, a new id would sign it out when the grace is over. */
  #hasReader({ request, tokenIsInCookie }: KnownRequest): boolean {
    const isCrossSite = tokenIsInCookie && this.csrf.isCrossSite(request);
    return hasReader(rawRequestOf(request), isCrossSite);
  }

  /** Gives the session its new id, and the client the token, if `renew()` has found that due. */
  async rotate({ sessionResponse, budget }: RenewedRequest, session: Session): Promise<void> {
    const token = (await this.#rotation?.rotate(session, budget)) ?? null;
    if (token !== null) sessionResponse.rotate(session, token);
  }
}
