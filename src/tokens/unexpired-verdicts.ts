import type { Clock } from '../clock.js';
import type { VerifiedToken } from './token-verifier.js';

/** Remembered verdicts on tokens that may expire. An expired one is forgotten, so that the serializer decides again. */
export class UnexpiredVerdicts extends Map<string, VerifiedToken> {
  constructor(private readonly clock: Clock) {
    super();
  }

  override get(token: string): VerifiedToken | undefined {
    const known = super.get(token);
    if (known?.claims.expiresAt === undefined || known.claims.expiresAt > this.clock.now()) return known;
    this.delete(token);
    return undefined;
  }
}
