import { Injectable } from '@nestjs/common';

import { quoted } from '../errors/quoted.js';
import { SessionSecurityError, SessionUsageError } from '../errors/session-errors.js';
import { SessionOptions } from '../options/session-options.js';
import {
  identityOf,
  shortened,
  type ClientIdentity,
  type RequestClient,
  type StoredIdentity,
} from '../http/client-identity.js';
import { inSameNetwork, normaliseIp } from '../http/ip-address.js';

/** Binds a session to the network and the User-Agent for which it was created, if the options require it. */
@Injectable()
export class SessionBinding {
  readonly #prefixes: { readonly ipv4: number; readonly ipv6: number } | null;
  readonly #bindsUserAgent: boolean;

  constructor({ ipBinding, userAgentBinding }: SessionOptions) {
    const prefixes = ipBinding === true ? {} : ipBinding;
    this.#prefixes = prefixes === false ? null : { ipv4: prefixes.ipv4Prefix ?? 32, ipv6: prefixes.ipv6Prefix ?? 128 };
    this.#bindsUserAgent = userAgentBinding;
  }

  /** Whether sessions are bound to an address or a User-Agent. */
  get isOn(): boolean {
    return this.#prefixes !== null || this.#bindsUserAgent;
  }

  /** Whether sessions are bound to addresses. */
  get bindsAddress(): boolean {
    return this.#prefixes !== null;
  }

  /**
   * The identity to store in a new session.
   *
   * @throws SessionUsageError when a binding is on and its value is not known: such a session could never be used
   * @throws SessionSecurityError when the client has disconnected, so that its address is not known
   */
  identityToStore(client: RequestClient): StoredIdentity {
    const identity = identityOf(client);
    if (this.#prefixes !== null && identity.ipAddress === null) {
      if (client.hasGone === true) throw addressUnknownError();
      throw new SessionUsageError(
        `ipBinding is on, so a session needs the client's address: ${howToProvideAddress(client, 'pass ipAddress to createSession()')}`,
      );
    }
    if (this.#bindsUserAgent && identity.userAgent === null) {
      throw new SessionUsageError(
        'userAgentBinding is on, so a session needs a User-Agent: pass userAgent to createSession().',
      );
    }
    return identity;
  }

  /**
   * @throws SessionSecurityError when the session is bound to another client, or was stored without a binding. Also when the client has
   * disconnected, so that its address is not known.
   */
  check(stored: StoredIdentity, client: RequestClient): void {
    if (this.#prefixes !== null) checkNetwork(stored.ipAddress, client, this.#prefixes);
    if (this.#bindsUserAgent) checkUserAgent(stored.userAgent, shortened(client.userAgent));
  }
}

function checkNetwork(
  stored: string | null,
  client: RequestClient,
  prefixes: { readonly ipv4: number; readonly ipv6: number },
): void {
  if (client.hasGone === true) throw addressUnknownError();
  const address = client.ipAddress ? normaliseIp(client.ipAddress) : null;
  if (stored !== null && address !== null && inSameNetwork(stored, address, prefixes)) return;
  const hint = address === null ? ` The client has none: ${howToProvideAddress(client, passToCall('ipAddress'))}` : '';
  throw new SessionSecurityError('BINDING_IP_MISMATCH', `The session belongs to another network address.${hint}`);
}

function checkUserAgent(stored: string | null, userAgent: string | null): void {
  if (stored !== null && stored === userAgent) return;
  const hint = userAgent === null ? ` The client has none: ${passToCall('userAgent')}.` : '';
  throw new SessionSecurityError('BINDING_USER_AGENT_MISMATCH', `The session belongs to another User-Agent.${hint}`);
}

/** For a client that no request describes: the call with a token has to. */
function passToCall(name: keyof ClientIdentity): string {
  return `pass { ${name} } as the argument client of getSession() or renewSession()`;
}

/** @param howInCall for a client that no request describes */
function howToProvideAddress({ ipAddress, hasGone }: RequestClient, howInCall: string): string {
  if (ipAddress) {
    return `${quoted(ipAddress)} is not an IP address. Configure the proxy to forward the address of the client, and list in 'trust proxy' (Express) or trustProxy (Fastify) only proxies that do.`;
  }
  return hasGone === undefined ? `${howInCall}.` : 'let the server listen on a TCP port.';
}

/** The error for a client that has disconnected and no longer waits for the response. */
function addressUnknownError(): SessionSecurityError {
  return new SessionSecurityError(
    'BINDING_IP_UNKNOWN',
    'The client closed its connection before its address could be checked.',
  );
}
