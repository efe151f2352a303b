import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { send, type RawResponse } from './raw-client.js';

interface CachedResponse {
  /** The request headers that `Vary` names, with the values that they had. */
  readonly selecting: readonly (readonly [name: string, value: unknown])[];
  readonly response: RawResponse;
}

/**
 * A shared cache that keeps whatever RFC 9111 lets it keep, and more: without a word on freshness it takes a response for fresh, and it
 * knows nothing of `Authorization` (section 3.5) nor of `Set-Cookie`. `Cache-Control: no-store` and `private` it obeys, and `Vary`.
 */
export class CachingProxy {
  readonly #cache = new Map<string, CachedResponse[]>();
  readonly #server: Server;
  hits = 0;

  private constructor(private readonly origin: string) {
    this.#server = createServer((request, response) => {
      const { method = 'GET', url = '/', headers, rawHeaders } = request;
      void this.#respond(method, url, headers, rawHeaders).then(({ status, headers: received, body }) => {
        response.writeHead(status, received).end(body);
      });
    });
  }

  static async before(origin: string): Promise<CachingProxy> {
    const proxy = new CachingProxy(origin);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #respond(
    method: string,
    path: string,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ): Promise<RawResponse> {
    if (method !== 'GET') return send(this.origin + path, { method, headers: rawHeaders });
    const known = this.#cache
      .get(path)
      ?.find((cached) => cached.selecting.every(([name, value]) => headers[name] === value));
    if (known !== undefined) {
      this.hits++;
      return known.response;
    }
    const response = await send(this.origin + path, { headers: rawHeaders });
    this.#keep(path, headers, response);
    return response;
  }

  #keep(path: string, headers: IncomingHttpHeaders, response: RawResponse): void {
    const { 'cache-control': control = '', vary = '' } = response.headers;
    if (/no-store|private/i.test(control) || vary.includes('*')) return;
    const names = vary.split(',').map((name) => name.trim().toLowerCase());
    const selecting = names.filter((name) => name !== '').map((name) => [name, headers[name]] as const);
    this.#cache.set(path, [...(this.#cache.get(path) ?? []), { selecting, response }]);
  }
}
