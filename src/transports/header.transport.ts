import type { IncomingMessage, ServerResponse } from 'node:http';

import { exposeHeader } from '../http/exposed-headers.js';
import { countHeaderLines } from '../http/header-lines.js';
import { NOTHING, type TokenReading, type TokenTransport } from './token-transport.interface.js';

/** The token in its own header, by default `X-Session-Token`. Responses carry new and renewed tokens in it too. */
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
    // Without this, a browser hides the header from pages of another origin.
    exposeHeader(response, this.headerName);
  }
}
