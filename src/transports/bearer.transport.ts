import type { IncomingMessage } from 'node:http';

import { countHeaderLines } from '../http/header-lines.js';
import { NOTHING, type TokenReading, type TokenTransport } from './token-transport.interface.js';

const LONGEST_VALUE = 4_200;
const BEARER = /^bearer +([^ ]+)$/i;
const SCHEME = /^bearer(?: |$)/i;

/** `Authorization: Bearer` (RFC 6750, section 2.1; the scheme without regard to case). Other schemes are ignored. */
export class BearerTransport implements TokenTransport {
  readonly varyOn = 'Authorization';

  read(request: IncomingMessage): TokenReading {
    const value = request.headers.authorization;
    if (value === undefined) return NOTHING;
    if (countHeaderLines(request, 'authorization') > 1) return { found: 'fault', code: 'TOKEN_AMBIGUOUS' };
    if (!SCHEME.test(value)) return NOTHING;
    const token = value.length <= LONGEST_VALUE ? BEARER.exec(value)?.[1] : undefined;
    return token === undefined ? { found: 'fault', code: 'TOKEN_MALFORMED' } : { found: 'token', token };
  }
}
