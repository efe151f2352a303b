import { SessionBackendError } from '../errors/session-errors.js';
import { ownCopy } from './own-copy.js';
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

  /**
   * The verdict. A serializer that throws rejects the token; the promise rejects with a `SessionBackendError` when it could not decide, so
   * that nothing is known about the token.
   */
  verify(token: string): VerifierVerdict | Promise<VerifierVerdict> {
    const known = this.#remembered.get(token);
    if (known !== undefined) return known;
    if (token.length > LONGEST_TOKEN) return MALFORMED;

    try {
      const verdict = this.#serializer.verify(token);
      if (!('then' in verdict)) return this.#conclude(token, verdict);
      return Promise.resolve(verdict)
        .then((settled) => this.#conclude(token, settled))
        .catch(rejectedBy);
    } catch (error) {
      return rejectedBy(error);
    }
  }

  /** Notes that a cookie with `token` goes out. Of serializers whose verdicts are not final nothing is remembered, this neither. */
  noteOwnCookie(token: string): void {
    if (this.#serializer.verdictsAreFinal !== true) return;
    const note = (verdict: VerifierVerdict): void => {
      if (verdict.valid) verdict.isOwnCookie = true;
    };
    const verdict = this.verify(token);
    // What is not known by then is renewed once more.
    if (verdict instanceof Promise) void verdict.then(note, () => undefined);
    else note(verdict);
  }

  #conclude(token: string, verdict: TokenVerdict): VerifierVerdict {
    if (!verdict.valid) return verdict;
    const { claims, outdated } = verdict;
    if (!isSessionSecret(claims.secret)) return MALFORMED;

    // An event may give the id to a listener that keeps it.
    const sessionId = ownCopy(sessionIdOf(claims.secret));
    if (this.#serializer.verdictsAreFinal !== true) return { valid: true, sessionId, claims, outdated };
    // The token is a slice of a header, the secret one of the token, and the claims may hold more than these two.
    const own = { secret: ownCopy(claims.secret), issuedAt: claims.issuedAt };
    return this.#remember(ownCopy(token), { valid: true, sessionId, claims: own, outdated });
  }

  #remember(token: string, verified: VerifiedToken): VerifiedToken {
    if (this.#remembered.size >= REMEMBERED_TOKENS) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    this.#remembered.set(token, verified);
    return verified;
  }
}

function rejectedBy(error: unknown): typeof MALFORMED | Promise<never> {
  return error instanceof SessionBackendError ? Promise.reject(error) : MALFORMED;
}
