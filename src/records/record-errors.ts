import type { SessionId } from '../tokens/session-secret.js';

/** A stored value that is not a record of ours, or not a whole one. It counts as no session, and is reported once. */
export class DamagedRecordError extends Error {
  override readonly name = 'DamagedRecordError';

  constructor(
    /** What is wrong, without a word of the content. */
    readonly reason: string,
  ) {
    super(`A stored session record is unusable: ${reason}.`);
  }
}

/** Called with records that count as no session. */
export interface DamageReport {
  note(id: SessionId, error: DamagedRecordError): void;
}

/**
 * What a later version of this module has stored. This version neither reads nor changes nor deletes it: whether the session lives is not
 * known, and the response is 503.
 */
export class NewerRecordError extends Error {
  override readonly name = 'NewerRecordError';

  /** @param what is of a newer form. Default: a session record */
  constructor(what = 'A stored session record') {
    super(
      `${what} was written by a later version of nestjs-sessionx, and this version leaves it alone: finish the deployment, so that all processes run the later version.`,
    );
  }
}
