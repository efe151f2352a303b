import type { IncomingMessage } from 'node:http';

import type { TokenSource } from '../options/session-options.js';
import type { TokenFault } from '../sessions/session-loader.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { TokenVerifier, VerifiedToken } from '../tokens/token-verifier.js';
import type { TokenTransports } from '../transports/token-transports.js';

/** Anybody may plant cookies by the dozen, and each costs a signature. */
const MOST_VERIFIED_COOKIES = 8;

/** A token that verifies, and where it stood in the request. */
export interface PresentedToken {
  readonly source: TokenSource;
  readonly text: string;
  readonly verified: VerifiedToken;
}

/** Learns what a search finds beside the token that it returns. */
export interface TokenSearchListener {
  /** A token that does not verify or cannot be read, in a place that holds no other. */
  tokenRefused(fault: TokenFault, source: TokenSource): void;
  /**
   * The request carries more than one cookie of our name.
   *
   * @param rivalIds the sessions that they name, where no token is returned because these are several; null: there are none
   * @param ignored why one of them was ignored beside the one that is returned; null: none was
   */
  severalCookies(rivalIds: ReadonlySet<SessionId> | null, ignored: TokenFault | null): void;
}

interface SearchServices {
  readonly transports: TokenTransports;
  readonly verifier: TokenVerifier;
}

/** The first token of a request that verifies. One that does not, or cannot be read, lets the next source have its turn. */
export async function findToken(
  services: SearchServices,
  request: IncomingMessage,
  listener: TokenSearchListener,
): Promise<PresentedToken | null> {
  const { transports, verifier } = services;
  for (const source of transports.sources) {
    const reading = transports.of(source).read(request);
    switch (reading.found) {
      case 'nothing':
        continue;
      case 'fault':
        listener.tokenRefused(reading.code, source);
        // Two tokens in one place are an attack or a bug; no other place makes up for it.
        if (reading.code === 'TOKEN_AMBIGUOUS') return null;
        continue;
      case 'several': {
        const found = await findAmong(reading.tokens, verifier, listener);
        if (typeof found === 'object') return { source, ...found };
        listener.tokenRefused(found, source);
        if (found === 'TOKEN_AMBIGUOUS') return null;
        continue;
      }
      case 'token': {
        const pending = verifier.verify(reading.token);
        const verdict = pending instanceof Promise ? await pending : pending;
        if (verdict.valid) return { source, text: reading.token, verified: verdict };
        listener.tokenRefused(verdict.fault, source);
        continue;
      }
      default:
        reading satisfies never;
    }
  }
  return null;
}

/**
 * The token of the one session that several cookies open; the youngest, where they hold more than one. Those that do not verify are
 * ignored. Cookies of several sessions open none: one of them may be planted, and nothing says which. Nor do more cookies than are looked
 * at, of which the true one may be the last.
 */
async function findAmong(
  tokens: readonly string[],
  verifier: TokenVerifier,
  listener: TokenSearchListener,
): Promise<Omit<PresentedToken, 'source'> | TokenFault> {
  const ids = new Set<SessionId>();
  let youngest: Omit<PresentedToken, 'source'> | null = null;
  let fault: TokenFault | null = null;
  for (const text of tokens.slice(0, MOST_VERIFIED_COOKIES)) {
    const verdict = await verifier.verify(text);
    if (!verdict.valid) {
      fault ??= verdict.fault;
      continue;
    }
    ids.add(verdict.sessionId);
    if (youngest === null || isYounger(verdict, youngest.verified)) youngest = { text, verified: verdict };
  }
  const isAmbiguous = ids.size > 1 || tokens.length > MOST_VERIFIED_COOKIES;
  if (isAmbiguous || youngest === null) {
    listener.severalCookies(ids.size > 0 ? ids : null, null);
    return isAmbiguous ? 'TOKEN_AMBIGUOUS' : (fault ?? 'TOKEN_MALFORMED');
  }
  listener.severalCookies(null, fault);
  return youngest;
}

/** One under a superseded key is older, whatever its time. */
function isYounger(a: VerifiedToken, b: VerifiedToken): boolean {
  if (a.outdated !== b.outdated) return b.outdated;
  return a.claims.issuedAt > b.claims.issuedAt;
}
