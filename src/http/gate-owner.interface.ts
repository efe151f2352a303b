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
  /** The response in place of the application's with `status`, after `commit` failed with `error`. Null: the application's may go out. */
  replacement(error: unknown, status: number): ReplacementResponse | null;
  /** A response that left in several parts ends. */
  streamEnds(): void;
  /** The application has called its response after the end, and nobody listens for the error. */
  ignored(error: Error): void;
  /** Sending what was held failed with `error`. The client gets another response if nothing has left, else the connection is cut. */
  broken(error: unknown): void;
}

export interface ReplacementResponse {
  readonly status: number;
  readonly body: object;
}

/** What the client has got: the application's own response, another one in its place, or nothing. */
export type Delivery =
  { readonly got: 'response'; readonly status: number } | { readonly got: 'replacement' } | { readonly got: 'nothing' };
