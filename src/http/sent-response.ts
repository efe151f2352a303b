/** The methods by which a response leaves. */
export type SendingMethod = 'writeHead' | 'flushHeaders' | 'write' | 'end';

/** The arguments of such a call. */
export type SendingArguments = readonly [first?: unknown, second?: unknown, third?: unknown];

/**
 * A response that looks as if its head were sent, although nothing has left. It takes the application's calls in place of the response, so
 * that each is accepted or refused at once, by Node's own rules and with Node's own errors.
 */
export interface SentResponse {
  /** Whether a call has made the head by now. */
  readonly headersSent: boolean;
  /** The status that the head was made with. */
  readonly statusCode: number;
  readonly writableEnded: boolean;

  /**
   * Tries a call. If it is refused, Node calls its callback with the error. If it is accepted, its callback is not called here.
   *
   * @returns whether the call is accepted, and so to be made on the response itself, later
   * @throws what Node throws
   */
  accepts(method: SendingMethod, args: SendingArguments): boolean;

  /** Makes the response look sent to the application: from now on it refuses what would change its head. */
  show(): void;

  /**
   * Undoes `show()`, so that the accepted calls can be made. The response has the status that its head was made with.
   *
   * @returns a function that gives the response the status that the application has set meanwhile, which has no effect, as without us
   */
  hide(): () => void;

  /** Undoes `show()`, so that another response can be sent in place of the application's. */
  discard(): void;
}
