/** The methods by which a response leaves. */
export type SendingMethod = 'writeHead' | 'flushHeaders' | 'write' | 'end';

/** What one of them is called with. */
export type SendingArguments = readonly [first?: unknown, second?: unknown, third?: unknown];

/**
 * A response as it looks once its head is sent, although nothing of it has left. It takes the application's calls in place of the response,
 * so that each is accepted or refused at once, by Node's own rules and with Node's own errors.
 */
export interface SentResponse {
  /** Whether a call has made the head by now. */
  readonly headersSent: boolean;
  /** The status that the head was made with. */
  readonly statusCode: number;
  readonly writableEnded: boolean;

  /**
   * Tries a call. The callback of a call that is refused is told so by Node; that of one that is accepted is left alone.
   *
   * @returns whether the call is accepted, and so to be made on the response itself, later
   * @throws what Node throws
   */
  accepts(method: SendingMethod, args: SendingArguments): boolean;

  /** Shows the response to the application as sent: from now on it refuses what would change its head. */
  show(): void;

  /**
   * Takes that back, so that the accepted calls can be made. The response has the status that its head was made with.
   *
   * @returns gives the response the status that the application has set since, to no effect, as it would be without us
   */
  hide(): () => void;

  /** Takes `show()` back, so that another response can be sent in place of the application's. */
  discard(): void;
}
