import { IncomingMessage, ServerResponse, type OutgoingHttpHeaders, type RequestListener } from 'node:http';
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';

/** A call of a server's handler that no server listens for, as serverless platforms make it. */
export interface InProcessCall {
  readonly response: Promise<{ readonly status: number; readonly headers: OutgoingHttpHeaders; readonly body: string }>;
  /** Bytes that the handler has sent by now. */
  readonly sentBytes: () => number;
}

export interface InProcessRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
}

export function callInProcess(
  handler: RequestListener,
  { method = 'GET', path, headers = {}, body }: InProcessRequest,
): InProcessCall {
  const chunks: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  }) as Socket;
  const content = body === undefined ? '' : JSON.stringify(body);
  const all = { host: 'function.example', 'content-type': 'application/json', ...headers };
  const request = new IncomingMessage(socket);
  Object.assign(request, {
    method,
    url: path,
    headers: { ...all, 'content-length': String(content.length) },
    rawHeaders: Object.entries(all).flat(),
    complete: true,
  });
  request.push(content);
  request.push(null);
  const response = new ServerResponse(request);
  response.assignSocket(socket);
  const finished = new Promise<void>((resolve) => response.once('finish', resolve));
  handler(request, response);
  return {
    response: finished.then(() => ({
      status: response.statusCode,
      headers: response.getHeaders(),
      body: Buffer.concat(chunks).toString().split('\r\n\r\n').slice(1).join('\r\n\r\n'),
    })),
    sentBytes: () => chunks.reduce((sum, chunk) => sum + chunk.length, 0),
  };
}
