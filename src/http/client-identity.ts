import { normaliseIp } from './ip-address.js';

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

/** The identity of a client as sessions and events contain it. */
export interface StoredIdentity {
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
}

const LONGEST_USER_AGENT = 512;

export function identityOf({ ipAddress, userAgent }: ClientIdentity): StoredIdentity {
  return { ipAddress: ipAddress ? normaliseIp(ipAddress) : null, userAgent: shortened(userAgent) };
}

/** 512 characters distinguish clients. A header may have 16 KB, which is too much for each session. */
export function shortened(userAgent: string | null | undefined): string | null {
  return userAgent?.slice(0, LONGEST_USER_AGENT) ?? null;
}
