import { connect, type ClientHttp2Session, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { text } from 'node:stream/consumers';

/** What came back on one stream. */
export interface Http2Response {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The heads of informational responses. */
  readonly informed: readonly IncomingHttpHeaders[];
  readonly body: string;
}

/** A client on one connection of HTTP/2, without TLS. */
export class Http2Client {
  readonly #session: ClientHttp2Session;

  constructor(url: string) {
    this.#session = connect(url);
    // Told to each stream as well.
    this.#session.on('error', () => undefined);
  }

  request(headers: OutgoingHttpHeaders, body?: string): Promise<Http2Response> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(headers, { endStream: body === undefined });
      const informed: IncomingHttpHeaders[] = [];
      stream.on('headers', (head) => informed.push(head));
      stream.on('error', reject);
      stream.on('response', (received) => {
        text(stream).then((content) => {
          resolve({ status: Number(received[':status']), headers: received, informed, body: content });
        }, reject);
      });
      if (body !== undefined) stream.end(body);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#session.close(resolve);
    });
  }
}
