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

/** A record written by a later version of this module: neither read nor overwritten by this one. */
export class NewerRecordError extends Error {
  override readonly name = 'NewerRecordError';

  constructor(found: number, known: number) {
    super(`A stored session record has schema ${found}, this version knows ${known}: finish the deployment.`);
  }
}
