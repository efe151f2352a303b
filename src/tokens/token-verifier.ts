import { Inject, Injectable } from '@nestjs/common';

import { SESSION_CLOCK, type Clock } from '../clock.js';
import { SessionBackendError } from '../errors/session-errors.js';
import { forgetOldest } from '../forget-oldest.js';
import { BoundedSerializer } from './bounded-serializer.js';
import { ownCopy } from './own-copy.js';
import { isSessionSecret, sessionIdOf, type SessionId } from './session-secret.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

const REMEMBERED_TOKENS = 10_000;
const LONGEST_TOKEN = 4_096;

const MALFORMED = { valid: false, fault: 'TOKEN_MALFORMED' } as const;

/** A token with a valid signature. Its session may have ended. */
export interface VerifiedToken {
  readonly valid: true;
  readonly sessionId: SessionId;
  readonly claims: TokenClaims;
  readonly outdated: boolean;
  /** Whether the tag in the id is that of the session's user; set by the first load of the session, as neither ever changes. */
  hasTagOfUser?: boolean;
  /** Whether this process has set a cookie with this token and the current cookie options. `undefined` if not known. */
  isOwnCookie?: boolean;
}

/** The verdict on a token, with the id of its session. */
export type VerifierVerdict = VerifiedToken | Extract<TokenVerdict, { valid: false }>;

/**
 * Verifies tokens with the application's serializer and remembers the valid ones: an HMAC and a hash cost the process more CPU time
 * than a read from Redis, and a client sends the same token many times. Only the exact text of a valid token is remembered, so forged
 * tokens use no memory. The oldest token is forgotten first.
 */
@Injectable()
export class TokenVerifier {
  readonly #serializer: TokenSerializer;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, VerifiedToken>();

  constructor(@Inject(BoundedSerializer) serializer: TokenSerializer, @Inject(SESSION_CLOCK) clock: Clock) {
    this.#serializer = serializer;
    this.#clock = clock;
  }

  /**
   * A serializer that throws rejects the token. The promise rejects with a `SessionBackendError` if the serializer could not decide, so that
   * nothing is known about the token.
   */
  verify(token: string): VerifierVerdict | Promise<VerifierVerdict> {
    const known = this.#remembered.get(token);
    if (known !== undefined) {
      const { expiresAt } = known.claims;
      if (expiresAt === undefined || expiresAt > this.#clock.now()) return known;
      // The serializer decides again.
      this.#remembered.delete(token);
    }
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

  /** Notes that a cookie with `token` is sent. Has no effect for serializers whose verdicts are not final, because none is remembered. */
  noteOwnCookie(token: string): void {
    if (this.#serializer.verdictsAreFinal !== true) return;
    const note = (verdict: VerifierVerdict): void => {
      if (verdict.valid) verdict.isOwnCookie = true;
    };
    const verdict = this.verify(token);
    // If the verdict comes too late, the cookie is only set once more than necessary.
    if (verdict instanceof Promise) void verdict.then(note, () => undefined);
    else note(verdict);
  }

  #conclude(token: string, verdict: TokenVerdict): VerifierVerdict {
    if (!verdict.valid) return verdict;
    const { claims, outdated } = verdict;
    if (!isSessionSecret(claims.secret)) return MALFORMED;

    // Copied, because a listener of events may keep the id.
    const sessionId = ownCopy(sessionIdOf(claims.secret));
    if (this.#serializer.verdictsAreFinal !== true) return { valid: true, sessionId, claims, outdated };
    // Copied, because the token is a slice of a header and the secret a slice of the token. The claims may have further fields.
    const { issuedAt, expiresAt } = claims;
    const secret = ownCopy(claims.secret);
    const own = expiresAt === undefined ? { secret, issuedAt } : { secret, issuedAt, expiresAt };
    return this.#remember(ownCopy(token), { valid: true, sessionId, claims: own, outdated });
  }

  #remember(token: string, verified: VerifiedToken): VerifiedToken {
    if (this.#remembered.size >= REMEMBERED_TOKENS) forgetOldest(this.#remembered);
    this.#remembered.set(token, verified);
    return verified;
  }
}

function rejectedBy(error: unknown): typeof MALFORMED | Promise<never> {
  return error instanceof SessionBackendError ? Promise.reject(error) : MALFORMED;
}
