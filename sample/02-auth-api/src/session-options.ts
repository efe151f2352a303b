import type { SessionModuleOptions } from 'nestjs-sessionx';

import type { AppConfig } from './config.js';

const HOUR_IN_SECONDS = 3600;
const DAY_IN_SECONDS = 24 * HOUR_IN_SECONDS;

/** The sessions of this API: how long they live and what they are bound to. */
export function sessionOptions({
  secretKey,
  backend,
  sessionTtl,
}: Pick<AppConfig, 'secretKey' | 'backend' | 'sessionTtl'>): SessionModuleOptions {
  return {
    secretKey,
    backend,
    sessionTtl,
    absoluteTimeout: 12 * HOUR_IN_SECONDS,
    // For a login with `remember: true`.
    lifetimes: { remembered: { ttl: 30 * DAY_IN_SECONDS, absoluteTimeout: 90 * DAY_IN_SECONDS } },
    // IPv6 clients change the rest of their address by themselves, every day or so (RFC 8981); /64 is one home or office.
    ipBinding: { ipv4Prefix: 32, ipv6Prefix: 64 },
    userAgentBinding: true,
  };
}
