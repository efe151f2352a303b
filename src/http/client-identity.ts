/** Who asks: what a request, or the application, says of the client. */
export interface ClientIdentity {
  /** As the framework tells it, never read from `X-Forwarded-For` here. */
  readonly ipAddress?: string | null;
  /** Empty: the client sends none, to which a session can be bound too. Left out: not known. */
  readonly userAgent?: string | null;
}

/** The client of a request. */
export interface RequestClient extends ClientIdentity {
  /** Whether its connection is closed, so that nobody knows its address any more. */
  readonly hasGone?: boolean;
}
