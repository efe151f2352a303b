import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';

export interface RawRequest {
  readonly method?: string;
  /** Names and values in this order, repeated names included. */
  readonly headers?: readonly string[];
  readonly body?: string;
}

export interface RawResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly setCookies: readonly string[];
  readonly body: string;
}

/** Sends just these headers: `fetch` adds some of a browser's, hides cookies, and joins names that are repeated. */
export function send(url: string, { method = 'GET', headers = [], body }: RawRequest = {}): Promise<RawResponse> {
  const given = new Set(headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()));
  const added = [
    ['Host', new URL(url).host],
    ...(method === 'GET' ? [] : [['Content-Length', String(Buffer.byteLength(body ?? ''))]]),
  ].filter(([name = '']) => !given.has(name.toLowerCase()));
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { method, headers: [...added.flat(), ...headers] as never }, (response) => {
      const { statusCode: status = 0, headers: received } = response;
      text(response).then(
        (content) => resolve({ status, headers: received, setCookies: received['set-cookie'] ?? [], body: content }),
        reject,
      );
    });
    outgoing.on('error', reject).end(body);
  });
}
