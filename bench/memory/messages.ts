/** What holds the sessions whose bytes are counted. */
export type Holder = 'map' | 'backend';

export interface BytesMeasured {
  /** Of heap, per session. */
  readonly bytes: number;
  readonly payloadCharacters: number;
}

export interface ExpiryMeasured {
  readonly totalMs: number;
  /** The longest time in which the event loop did nothing else. */
  readonly longestBlockMs: number;
}
