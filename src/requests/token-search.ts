import type { IncomingMessage } from 'node:http';

import type { TokenSource } from '../options/session-options.js';
import type { TokenFault } from '../sessions/session-loader.js';
import type { SessionId } from '../tokens/session-secret.js';
import type { TokenVerifier, VerifiedToken, VerifierVerdict } from '../tokens/token-verifier.js';
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

/**
 * The first token of a request that verifies. One that does not, or cannot be read, lets the next source have its turn. A promise only where
 * a serializer needs one, or for several cookies.
 */
export function findToken(
  services: SearchServices,
  request: IncomingMessage,
  listener: TokenSearchListener,
): PresentedToken | null | Promise<PresentedToken | null> {
  return searchFrom(0, services, request, listener);
}

function searchFrom(
  first: number,
  services: SearchServices,
  request: IncomingMessage,
  listener: TokenSearchListener,
): PresentedToken | null | Promise<PresentedToken | null> {
  const { sources } = services.transports;
  for (let index = first; ; index++) {
    const source = sources[index];
    if (source === undefined) return null;
    const found = searchIn(source, services, request, listener);
    if (found instanceof Promise) {
      return found.then((settled) =>
        settled === 'next source' ? searchFrom(index + 1, services, request, listener) : settled,
      );
    }
    if (found !== 'next source') return found;
  }
}

type SourceOutcome = PresentedToken | null | 'next source';

/** Null: no other source makes up for what is in this one. */
function searchIn(
  source: TokenSource,
  { transports, verifier }: SearchServices,
  request: IncomingMessage,
  listener: TokenSearchListener,
): SourceOutcome | Promise<SourceOutcome> {
  const refuse = (fault: TokenFault): SourceOutcome => {
    listener.tokenRefused(fault, source);
    // Two tokens in one place are an attack or a bug.
    return fault === 'TOKEN_AMBIGUOUS' ? null : 'next source';
  };
  const reading = transports.of(source).read(request);
  switch (reading.found) {
    case 'nothing':
      return 'next source';
    case 'fault':
      return refuse(reading.code);
    case 'several':
      return findAmong(reading.tokens, verifier, listener).then((found) =>
        typeof found === 'object' ? { source, ...found } : refuse(found),
      );
    case 'token': {
      const { token: text } = reading;
      const judge = (verdict: VerifierVerdict): SourceOutcome =>
        verdict.valid ? { source, text, verified: verdict } : refuse(verdict.fault);
      const verdict = verifier.verify(text);
      return verdict instanceof Promise ? verdict.then(judge) : judge(verdict);
    }
    default:
      return reading satisfies never;
  }
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
