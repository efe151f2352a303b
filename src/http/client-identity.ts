/** The client of a session, as its request or the application describes it. */
export interface ClientIdentity {
  /** The address that the framework determines. `X-Forwarded-For` is never read here. */
  readonly ipAddress?: string | null | undefined;
  /** Empty if the client sends none, to which a session can be bound too. Left out if it is not known. */
  readonly userAgent?: string | null | undefined;
}

/** The client of a request. */
export interface RequestClient extends ClientIdentity {
  /** Whether its connection is closed, so that its address is no longer known. */
  readonly hasGone?: boolean;
}
