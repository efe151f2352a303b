import type { IncomingMessage } from 'node:http';

import type { TokenSource } from '../options/session-options.js';
import type { TokenFault } from '../sessions/session-loader.js';
import type { TokenVerifier, VerifiedToken } from '../tokens/token-verifier.js';
import type { TokenTransports } from '../transports/token-transports.js';

/** A token that verifies, and where it stood in the request. */
export interface PresentedToken {
  readonly source: TokenSource;
  readonly text: string;
  readonly verified: VerifiedToken;
}

/**
 * The first token of a request that verifies. One that does not, or cannot be read, lets the next source have its turn.
 *
 * @param refuse is told of each that does not
 */
export async function findToken(
  { transports, verifier }: { readonly transports: TokenTransports; readonly verifier: TokenVerifier },
  request: IncomingMessage,
  refuse: (fault: TokenFault, source: TokenSource) => void,
): Promise<PresentedToken | null> {
  for (const source of transports.sources) {
    const reading = transports.of(source).read(request);
    if (reading.found === 'nothing') continue;
    if (reading.found === 'fault') {
      refuse(reading.code, source);
      // Two tokens in one place are an attack or a bug; no other place makes up for it.
      if (reading.code === 'TOKEN_AMBIGUOUS') return null;
      continue;
    }
    const pending = verifier.verify(reading.token);
    const verdict = pending instanceof Promise ? await pending : pending;
    if (verdict.valid) return { source, text: reading.token, verified: verdict };
    refuse(verdict.fault, source);
  }
  return null;
}
