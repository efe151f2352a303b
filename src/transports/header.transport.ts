import type { IncomingMessage, ServerResponse } from 'node:http';

import { appendToken } from './header-values.js';
import { countHeaderLines } from './header-lines.js';
import { NOTHING, type TokenReading, type TokenTransport } from './token-transport.interface.js';

/** The token in a header of its own, `X-Session-Token` by default. Renewed tokens go out in it too. */
export class HeaderTransport implements TokenTransport {
  readonly varyOn: string;
  readonly #key: string;

  constructor(private readonly headerName: string) {
    this.varyOn = headerName;
    this.#key = headerName.toLowerCase();
  }

  read(request: IncomingMessage): TokenReading {
    const value = request.headers[this.#key];
    if (value === undefined || value === '') return NOTHING;
    if (typeof value !== 'string' || countHeaderLines(request, this.#key) > 1) {
      return { found: 'fault', code: 'TOKEN_AMBIGUOUS' };
    }
    return { found: 'token', token: value };
  }

  write(response: ServerResponse, token: string): void {
    response.setHeader(this.headerName, token);
    // Without this, a browser hides the header from a page of another origin.
    appendToken(response, 'Access-Control-Expose-Headers', this.headerName);
  }
}
