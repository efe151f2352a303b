import type { LoggerService } from '@nestjs/common';

import { quoted } from '../errors/quoted.js';
import { normaliseIp } from '../http/ip-address.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';

/** Says once, when a session is made, that the address which the framework names is not the client's. */
export class AddressNotice {
  #saidUnreadable = false;
  #saidProxy = false;

  /** @param bindsAddress whether sessions belong to addresses */
  constructor(
    private readonly logger: Pick<LoggerService, 'warn'>,
    private readonly bindsAddress: boolean,
  ) {}

  check(request: PlatformRequest): void {
    const { ip } = request;
    // With a binding, an error says it.
    if (!this.bindsAddress) this.#checkReadable(ip);
    else if (!this.#saidProxy && ip !== undefined) this.#checkProxy(ip, request);
  }

  #checkReadable(ip: string | undefined): void {
    if (this.#saidUnreadable || ip === undefined || ip === '' || normaliseIp(ip) !== null) return;
    this.#saidUnreadable = true;
    this.logger.warn(
      `Sessions are stored without the address of the client, as ${quoted(ip)} is none: let the proxy in front write addresses, and 'trust proxy' (Express) or trustProxy (Fastify) name only proxies that do.`,
    );
  }

  /** The address of a proxy that the framework does not trust is the same for all of its clients, so the binding refuses no client. */
  #checkProxy(ip: string, request: PlatformRequest): void {
    const { headers, socket } = rawRequestOf(request);
    const forwarded = headers['x-forwarded-for'];
    if (forwarded === undefined || ip !== socket.remoteAddress) return;
    const address = normaliseIp(ip);
    // The client may be on the machine of the proxy.
    if (
      [forwarded]
        .flat()
        .join()
        .split(',')
        .some((entry) => normaliseIp(entry) === address)
    )
      return;
    this.#saidProxy = true;
    this.logger.warn(
      "ipBinding ties sessions to the address of the connection, though the request came with X-Forwarded-For: if that is a proxy of yours, all clients behind it count as one. Set 'trust proxy' (Express) or trustProxy (Fastify) to the addresses of your proxies; Fastify takes a number for none.",
    );
  }
}
