import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';

/** What a client gets, as far as its application can tell; null: a connection that broke. */
export type Exchange = {
  readonly informed: readonly number[];
  readonly status: number;
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: NodeJS.Dict<string>;
} | null;

export interface ExchangeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** One request on a connection of its own, and all that comes back. */
export function exchange(url: string, { method, path, headers }: ExchangeRequest): Promise<Exchange> {
  return new Promise((resolve) => {
    const informed: number[] = [];
    const fail = (): void => {
      resolve(null);
    };
    const request = httpRequest(url + path, { method, agent: false, headers }, (response) => {
      text(response).then((body) => {
        const { statusCode: status = 0, statusMessage: reason = '', headers: received, trailers } = response;
        resolve({ informed, status, reason, headers: received, body, trailers });
      }, fail);
    });
    request.on('information', ({ statusCode }) => informed.push(statusCode));
    request.on('error', fail);
    request.end();
  });
}
