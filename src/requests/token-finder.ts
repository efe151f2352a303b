import { Injectable } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';

import type { TokenSource } from '../options/session-options.js';
import type { SessionId } from '../tokens/session-secret.js';
import { TokenVerifier, type VerifiedToken, type VerifierVerdict } from '../tokens/token-verifier.js';
import { TokenTransports } from '../transports/token-transports.js';
import type { TokenFault } from '../sessions/session-loader.js';

/** An attacker may set many cookies, and each costs a check of a signature. */
const MAX_VERIFIED_COOKIES = 8;

/** A token that verifies, and where it was found in the request. */
export interface FoundToken {
  readonly source: TokenSource;
  readonly text: string;
  readonly verified: VerifiedToken;
}

/** Why a token of the request is not used. */
interface RefusedToken {
  readonly source: TokenSource;
  readonly fault: TokenFault;
  /** Whether another cookie beside it is used. The request is not refused for this one. */
  readonly isIgnored?: boolean;
}

/** The result of looking for a token in one request. */
export interface TokenSearch {
  readonly token: FoundToken | null;
  readonly refused: readonly RefusedToken[];
  /** Whether the request carries more than one cookie of our name. */
  readonly hasSeveralCookies: boolean;
  /** The sessions that the verified cookies name. `null` unless these are more than one, or the cookies are too many to verify. */
  readonly rivalIds: ReadonlySet<SessionId> | null;
}

const NONE_REFUSED: readonly RefusedToken[] = [];
export const NO_TOKEN: TokenSearch = { token: null, refused: NONE_REFUSED, hasSeveralCookies: false, rivalIds: null };

/**
 * Finds the token of a request: the first one that verifies, in the order of `tokenSourcePriority`. A source whose token does not verify is
 * skipped. Cookies of several sessions, and a header that was sent twice, end the search, because that is an attack or a bug.
 */
@Injectable()
export class TokenFinder {
  constructor(
    private readonly transports: TokenTransports,
    private readonly verifier: TokenVerifier,
  ) {}

  /** @returns a promise only if a serializer returns one, or for several cookies */
  find(request: IncomingMessage): TokenSearch | Promise<TokenSearch> {
    return this.#findFrom(0, request, NO_TOKEN);
  }

  /** The same where the client has sent `text` beside the headers of `request`, which comes first. */
  findBeside(text: string, request: IncomingMessage): TokenSearch | Promise<TokenSearch> {
    const found = this.judge(text);
    if (found instanceof Promise) return found.then((settled) => this.#goOn(-1, request, NO_TOKEN, settled));
    return this.#goOn(-1, request, NO_TOKEN, found);
  }

  /** The result for a token that was sent as such. No other site can make a browser do that, as with a header. */
  judge(text: string, source: TokenSource = 'header'): TokenSearch | Promise<TokenSearch> {
    const verdict = this.verifier.verify(text);
    return verdict instanceof Promise
      ? verdict.then((settled) => judged(source, text, settled))
      : judged(source, text, verdict);
  }

  #findFrom(index: number, request: IncomingMessage, before: TokenSearch): TokenSearch | Promise<TokenSearch> {
    const source = this.transports.sources[index];
    if (source === undefined) return before;
    const found = this.#findIn(source, request);
    if (found instanceof Promise) return found.then((settled) => this.#goOn(index, request, before, settled));
    return this.#goOn(index, request, before, found);
  }

  #goOn(
    index: number,
    request: IncomingMessage,
    before: TokenSearch,
    found: TokenSearch,
  ): TokenSearch | Promise<TokenSearch> {
    const search = combined(before, found);
    return isFinal(found) ? search : this.#findFrom(index + 1, request, search);
  }

  #findIn(source: TokenSource, request: IncomingMessage): TokenSearch | Promise<TokenSearch> {
    const reading = this.transports.of(source).read(request);
    switch (reading.found) {
      case 'nothing':
        return NO_TOKEN;
      case 'fault':
        return refusing(source, reading.code);
      case 'several':
        return this.#findAmong(reading.tokens, source);
      case 'token':
        return this.judge(reading.token, source);
      default:
        return reading satisfies never;
    }
  }

  /**
   * Several cookies of our name. If all that verify name one session, the youngest of them is used. If they name several, none is: one of
   * them may be planted, and nothing tells which. Nor if there are more than we verify, because the right one may be the last.
   */
  async #findAmong(tokens: readonly string[], source: TokenSource): Promise<TokenSearch> {
    const ids = new Set<SessionId>();
    let youngest: FoundToken | null = null;
    let fault: TokenFault | null = null;
    for (const text of tokens.slice(0, MAX_VERIFIED_COOKIES)) {
      const verdict = await this.verifier.verify(text);
      if (!verdict.valid) {
        fault ??= verdict.fault;
        continue;
      }
      ids.add(verdict.sessionId);
      if (youngest === null || isYounger(verdict, youngest.verified)) youngest = { source, text, verified: verdict };
    }
    const isAmbiguous = ids.size > 1 || tokens.length > MAX_VERIFIED_COOKIES;
    if (isAmbiguous || youngest === null) {
      const refused = refusing(source, isAmbiguous ? 'TOKEN_AMBIGUOUS' : (fault ?? 'TOKEN_MALFORMED'));
      return { ...refused, hasSeveralCookies: true, rivalIds: ids.size > 0 ? ids : null };
    }
    const refused = fault === null ? NONE_REFUSED : [{ source, fault, isIgnored: true }];
    return { token: youngest, refused, hasSeveralCookies: true, rivalIds: null };
  }
}

function judged(source: TokenSource, text: string, verdict: VerifierVerdict): TokenSearch {
  if (!verdict.valid) return refusing(source, verdict.fault);
  const token = { source, text, verified: verdict };
  return { token, refused: NONE_REFUSED, hasSeveralCookies: false, rivalIds: null };
}

function refusing(source: TokenSource, fault: TokenFault): TokenSearch {
  return { ...NO_TOKEN, refused: [{ source, fault }] };
}

/** Whether later sources are not looked at. */
function isFinal({ token, refused }: TokenSearch): boolean {
  return token !== null || refused.some(({ fault }) => fault === 'TOKEN_AMBIGUOUS');
}

function combined(before: TokenSearch, found: TokenSearch): TokenSearch {
  if (before === NO_TOKEN || found === NO_TOKEN) return before === NO_TOKEN ? found : before;
  const hasSeveralCookies = before.hasSeveralCookies || found.hasSeveralCookies;
  return { ...found, refused: [...before.refused, ...found.refused], hasSeveralCookies };
}

/** A token under a superseded key is older, whatever its time. */
function isYounger(a: VerifiedToken, b: VerifiedToken): boolean {
  if (a.outdated !== b.outdated) return b.outdated;
  return a.claims.issuedAt > b.claims.issuedAt;
}
