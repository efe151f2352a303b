// Makes a burst of requests for each message. Uses raw sockets, because a full HTTP client would take CPU time that the server needs.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { quantile } from '../support/statistics.js';
import type { Credential } from './apps/app-definition.js';
import type { Burst, BurstResult } from './messages.js';

const HEAD_END = '\r\n\r\n';
const OK = 'HTTP/1.1 200 ';

process.on('message', (burst: Burst) => {
  void run(burst).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit());

async function run({ port, path, credentials, seconds }: Burst): Promise<BurstResult> {
  const clients = credentials.map(
    (credential) => new Client(port, requestText(path, credential), credential.expectedBody),
  );
  await Promise.all(clients.map((client) => client.connected));
  // A process that sleeps has to be woken by the server's own write, which takes the server 5 us and more: so a server that is a little slower, and lets
  // the load fall asleep, would seem to be a lot slower.
  let isOver = false;
  const stayAwake = (): void => {
    if (!isOver) setImmediate(stayAwake);
  };
  stayAwake();
  const startedAt = performance.now();
  const latencies = await Promise.all(clients.map((client) => client.run(startedAt + seconds * 1000)));
  const passed = (performance.now() - startedAt) / 1000;
  isOver = true;
  for (const client of clients) client.close();
  const all = latencies.flat();
  return {
    requests: all.length,
    seconds: passed,
    p99Ms: quantile(all, 0.99),
    fault: clients.map(({ fault }) => fault).find((fault) => fault !== null) ?? null,
  };
}

function requestText(path: string, { header, value }: Credential): string {
  return [`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'User-Agent: bench', `${header}: ${value}`, '', ''].join('\r\n');
}

/** One keep-alive connection. */
class Client {
  readonly #socket: Socket;
  readonly connected: Promise<unknown>;
  fault: string | null = null;
  #response = '';
  #sentAt = 0;
  #latencies: number[] = [];
  #until = 0;
  #finish: (latencies: number[]) => void = () => undefined;

  constructor(
    port: number,
    private readonly request: string,
    private readonly expectedBody: string,
  ) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
    this.connected = once(this.#socket, 'connect');
    this.#socket.on('data', (chunk: string) => {
      this.#received(chunk);
    });
    this.#socket.on('close', () => {
      this.#fail('the server closed the connection');
    });
    // Handled at 'close', which follows.
    this.#socket.on('error', () => undefined);
  }

  /** Sends one request after the other until the given time of `performance.now()`; the latencies of all, in milliseconds. */
  run(until: number): Promise<number[]> {
    this.#until = until;
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#send();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(): void {
    this.#sentAt = performance.now();
    this.#socket.write(this.request, 'latin1');
  }

  #received(chunk: string): void {
    this.#response += chunk;
    const headEnd = this.#response.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const body = this.#response.slice(headEnd + HEAD_END.length);
    if (body.length < this.expectedBody.length && this.#response.startsWith(OK)) return;
    if (!this.#response.startsWith(OK) || body !== this.expectedBody) {
      this.#fail(this.#response);
      return;
    }

    const now = performance.now();
    this.#latencies.push(now - this.#sentAt);
    this.#response = '';
    if (now < this.#until) this.#send();
    else this.#finish(this.#latencies);
  }

  #fail(fault: string): void {
    this.fault ??= fault;
    this.#finish(this.#latencies);
  }
}
