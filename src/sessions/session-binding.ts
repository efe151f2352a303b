import { Injectable } from '@nestjs/common';

import { SessionSecurityError, SessionUsageError } from '../errors/session-errors.js';
import { SessionOptions } from '../options/session-options.js';
import type { ClientIdentity, RequestClient } from '../http/client-identity.js';
import { inSameNetwork, normaliseIp, shownAddress } from '../http/ip-address.js';

/** A client's identity as a session keeps it. */
export interface StoredIdentity {
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
}

const LONGEST_USER_AGENT = 512;

/** Ties a session to the network and the User-Agent that it was made for, as far as the options ask. */
@Injectable()
export class SessionBinding {
  readonly #prefixes: { readonly ipv4: number; readonly ipv6: number } | null;
  readonly #bindsUserAgent: boolean;

  constructor({ ipBinding, userAgentBinding }: SessionOptions) {
    const prefixes = ipBinding === true ? {} : ipBinding;
    this.#prefixes = prefixes === false ? null : { ipv4: prefixes.ipv4Prefix ?? 32, ipv6: prefixes.ipv6Prefix ?? 128 };
    this.#bindsUserAgent = userAgentBinding;
  }

  /** Whether sessions are bound to anything. */
  get isOn(): boolean {
    return this.#prefixes !== null || this.#bindsUserAgent;
  }

  /** Whether sessions belong to addresses. */
  get bindsAddress(): boolean {
    return this.#prefixes !== null;
  }

  /**
   * What a new session keeps of its client.
   *
   * @throws SessionUsageError when a binding is on and there is nothing to bind to: such a session could never be used
   * @throws SessionSecurityError when the client has gone, and its address with it
   */
  identityToStore({ ipAddress, userAgent, hasGone }: RequestClient): StoredIdentity {
    const identity = identityOf({ ipAddress, userAgent });
    if (this.#prefixes !== null && identity.ipAddress === null) {
      if (hasGone === true) throw addressUnknown();
      throw new SessionUsageError(`ipBinding is on, so a session needs the client's address: ${howToTell(ipAddress)}`);
    }
    if (this.#bindsUserAgent && identity.userAgent === null) {
      throw new SessionUsageError(
        'userAgentBinding is on, so a session needs a User-Agent: pass userAgent to createSession().',
      );
    }
    return identity;
  }

  /**
   * @throws SessionSecurityError when the session is bound to another client; one that was never bound counts so too. Also when the client
   * has gone, and its address with it, so that nothing is known.
   */
  check(stored: StoredIdentity, client: RequestClient): void {
    if (this.#prefixes !== null) checkNetwork(stored.ipAddress, client, this.#prefixes);
    if (this.#bindsUserAgent && (stored.userAgent === null || stored.userAgent !== shorten(client.userAgent))) {
      throw new SessionSecurityError('BINDING_USER_AGENT_MISMATCH', 'The session belongs to another User-Agent.');
    }
  }
}

/** A client as sessions and events name it. */
export function identityOf({ ipAddress, userAgent }: ClientIdentity): StoredIdentity {
  return { ipAddress: ipAddress ? normaliseIp(ipAddress) : null, userAgent: shorten(userAgent) };
}

function checkNetwork(
  stored: string | null,
  { ipAddress, hasGone }: RequestClient,
  prefixes: { readonly ipv4: number; readonly ipv6: number },
): void {
  if (hasGone === true) throw addressUnknown();
  const client = ipAddress ? normaliseIp(ipAddress) : null;
  if (stored !== null && client !== null && inSameNetwork(stored, client, prefixes)) return;
  throw new SessionSecurityError(
    'BINDING_IP_MISMATCH',
    `The session belongs to another network address.${client === null ? ` The request has none: ${howToTell(ipAddress)}` : ''}`,
  );
}

/** @param given what should be an address and is none */
function howToTell(given: string | null | undefined): string {
  return given
    ? `${shownAddress(given)} is none. Let the proxy in front write the address of the client, and 'trust proxy' (Express) or trustProxy (Fastify) name only proxies that do.`
    : 'pass ipAddress to createSession(), or let the server listen on a network socket.';
}

/** For a client that does not wait for the response any more. */
function addressUnknown(): SessionSecurityError {
  return new SessionSecurityError(
    'BINDING_IP_UNKNOWN',
    'The connection of the client was closed before its address was compared.',
  );
}

/** Enough to tell clients apart; a header of 16 KB does not belong into each session. */
function shorten(userAgent: string | null | undefined): string | null {
  return userAgent?.slice(0, LONGEST_USER_AGENT) ?? null;
}
