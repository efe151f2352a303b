import { isSessionSecret, sessionIdOf, type SessionId } from './session-secret.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

const REMEMBERED_TOKENS = 10_000;
const LONGEST_TOKEN = 4_096;

const MALFORMED = { valid: false, fault: 'TOKEN_MALFORMED' } as const;

/** A token whose signature holds. Whether its session lives is another question. */
export interface VerifiedToken {
  readonly valid: true;
  readonly sessionId: SessionId;
  readonly claims: TokenClaims;
  readonly outdated: boolean;
  /** Whether the tag in the id is that of the session's user; set by the first load of the session, as neither ever changes. */
  hasTagOfUser?: boolean;
  /** Whether this process has set a cookie with it, so that a browser has it as cookies are set now. Undefined: not known. */
  isOwnCookie?: boolean;
}

/** The verdict on a token, with the id of the session that it opens. */
export type VerifierVerdict = VerifiedToken | Extract<TokenVerdict, { valid: false }>;

/**
 * Verifies tokens by the application's serializer and remembers the ones that held: an HMAC and a hash cost more in a serving
 * process than the read from Redis, and a client sends the same token again and again. Only exact text that has verified is
 * remembered, so a forger fills nothing, and the oldest makes room for the newest.
 */
export class TokenVerifier {
  readonly #serializer: TokenSerializer;
  readonly #remembered = new Map<string, VerifiedToken>();

  constructor(serializer: TokenSerializer) {
    this.#serializer = serializer;
  }

  /** Never throws: a serializer that does rejects the token. */
  verify(token: string): VerifierVerdict | Promise<VerifierVerdict> {
    const known = this.#remembered.get(token);
    if (known !== undefined) return known;
    if (token.length > LONGEST_TOKEN) return MALFORMED;

    try {
      const verdict = this.#serializer.verify(token);
      if (!('then' in verdict)) return this.#conclude(token, verdict);
      return Promise.resolve(verdict)
        .then((settled) => this.#conclude(token, settled))
        .catch(() => MALFORMED);
    } catch {
      return MALFORMED;
    }
  }

  /** Notes that a cookie with `token` goes out. Of serializers whose verdicts are not final nothing is remembered, this neither. */
  noteOwnCookie(token: string): void {
    if (this.#serializer.verdictsAreFinal !== true) return;
    const verdict = this.verify(token);
    if ('valid' in verdict && verdict.valid) verdict.isOwnCookie = true;
  }

  #conclude(token: string, verdict: TokenVerdict): VerifierVerdict {
    if (!verdict.valid) return verdict;
    const { claims, outdated } = verdict;
    if (!isSessionSecret(claims.secret)) return MALFORMED;

    const verified: VerifiedToken = { valid: true, sessionId: sessionIdOf(claims.secret), claims, outdated };
    if (this.#serializer.verdictsAreFinal === true) this.#remember(token, verified);
    return verified;
  }

  #remember(token: string, verified: VerifiedToken): void {
    if (this.#remembered.size >= REMEMBERED_TOKENS) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    this.#remembered.set(token, verified);
  }
}
