import type { ServerResponse } from 'node:http';

import type { Vary } from './vary.js';

/** What a {@link ResponseGate} works for: it may have something to store before the first byte of a response. */
export interface GateOwner {
  /** Whether a response with `status` has to wait for `commit()`. Called for every response, so it must be cheap. */
  needsCommit(status: number): boolean;
  /** Stores what has changed. If it rejects, `replacement()` decides what the client gets instead of the response, which has `status`. */
  commit(status: number): Promise<void>;
  /**
   * Called when the head of a response with `status` is made.
   *
   * @returns what its `Vary` has to list, if nothing else is to be added. `null` if `writeHeaders()` has to add more
   */
  varyAlone(status: number): Vary | null;
  /** Adds all headers, `Vary` among them. By now the response has its status and the headers of the application. */
  writeHeaders(response: ServerResponse): void;
  /**
   * Called after `commit()` has failed with `error`.
   *
   * @returns the response to send instead of the application's, which has `status`. `null` if the application's may be sent
   */
  replacement(error: unknown, status: number): ReplacementResponse | null;
  /** Called when a response ends that was sent in several parts. */
  streamEnds(): void;
  /** Called when the application uses its response after the end, and has no listener for the error. */
  ignored(error: Error): void;
  /** Called when a call that waited fails with `error`. The client gets an error response, or a closed connection if the head has left. */
  broken(error: unknown): void;
}

export interface ReplacementResponse {
  readonly status: number;
  readonly body: object;
}

/** What the client has received: the application's response, another one in its place, or nothing. */
export type Delivery =
  { readonly got: 'response'; readonly status: number } | { readonly got: 'replacement' } | { readonly got: 'nothing' };
