import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const HEADER_BYTES = 24;
const BODY_LENGTH_OFFSET = 8;

/** How a reply ends that is cut: a connection closed, reset, or left open and silent; or bytes that no client requested. */
export type Ending = 'fin' | 'rst' | 'silence' | 'garbage';

/**
 * What arrives in place of one whole response of Memcached.
 *
 * @param before the one before it on the same connection; null: it is the first
 */
export type RewriteResponse = (response: Buffer, before: Buffer | null) => readonly Buffer[];

/** How long the request is that `bytes` begin with; 0: it is not all there. */
type FrameLength = (bytes: Buffer) => number;

/**
 * Stands between a client and a server, and does what networks do. Faults hold until `heal()`, for the connections that there are and
 * for new ones.
 */
export class FaultProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  #cut: { readonly ending: Ending; bytesLeft: number } | undefined;
  #requestsLeft = Infinity;
  #isOnce = false;
  #late: 'lost' | 'held' | 'unanswered' = 'lost';
  #unanswered: 'rst' | 'silence' = 'rst';
  readonly #deaf = new WeakSet<Socket>();
  readonly #forgotten = new Map<Socket, 'silence' | 'rst'>();
  #turnsAway = false;
  #downAt = 0;
  #rewrite: RewriteResponse | undefined;
  #inserted: Buffer | undefined;
  #delayMs = 0;
  #onHeld: (() => void) | undefined;
  /** Bytes of replies that have passed. */
  replyBytes = 0;
  /** Requests that have arrived. */
  requests = 0;
  connections = 0;

  /** @param frameLength tells requests apart. Default: those of Memcached's binary protocol. */
  static async to(port: number, frameLength: FrameLength = binaryFrameLength): Promise<FaultProxy> {
    const proxy = new FaultProxy(port, frameLength);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(
    port: number,
    private readonly frameLength: FrameLength,
  ) {
    this.#server = createServer((client) => this.#accept(client, port));
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** So many bytes of replies pass from now on. */
  cutReplies(afterBytes: number, ending: Ending): void {
    this.#cut = { ending, bytesLeft: afterBytes };
  }

  /** Each part of a reply arrives so much later. */
  delayReplies(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  /**
   * So many requests pass from now on; the next one breaks the connection, like a process that dies between two steps. `once`: those by another
   * connection pass again.
   */
  loseRequests(after: number, times: 'once' | 'always' = 'always'): void {
    this.#requestsLeft = after;
    this.#isOnce = times === 'once';
    this.#late = 'lost';
  }

  /** So many requests pass from now on; those after them wait for `release()`, even when their caller has long gone. */
  holdRequests(after: number): void {
    this.#requestsLeft = after;
    this.#late = 'held';
  }

  /** So many requests pass from now on; the server carries out those after them too, but no response comes back. `once`: as above. */
  loseResponses(after: number, ending: 'rst' | 'silence', times: 'once' | 'always' = 'always'): void {
    this.#requestsLeft = after;
    this.#isOnce = times === 'once';
    this.#late = 'unanswered';
    this.#unanswered = ending;
  }

  /** Sends `bytes` as soon as the next request comes, as its reply: from then on each call of that connection gets the reply to the one before. */
  insertReply(bytes: string): void {
    this.#inserted = Buffer.from(bytes);
  }

  /** Sends `bytes` at once, to every connection that there is. */
  sendUnasked(bytes: string): void {
    for (const client of this.#clients) client.write(bytes);
  }

  /** Connections that clients have open. */
  get openConnections(): number {
    return this.#clients.size;
  }

  /** The connections that there are now are forgotten, as a firewall does it in a quiet spell: what comes by them is dropped or reset. */
  forgetConnections(how: 'silence' | 'rst'): void {
    for (const client of this.#clients) this.#forgotten.set(client, how);
  }

  /** What is forgotten is reset now, without waiting for what comes by it. */
  resetForgotten(): void {
    for (const client of this.#forgotten.keys()) client.resetAndDestroy();
  }

  /** Each whole response (of Memcached) is replaced by what `rewrite` makes of it. */
  rewriteResponses(rewrite: RewriteResponse): void {
    this.#rewrite = rewrite;
  }

  /** New connections are accepted and closed, like those of a balancer without a server behind it. */
  turnAway(): void {
    this.#turnsAway = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Closes all connections, and lets no new one in: nothing listens there any more. */
  async goDown(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#downAt = (this.#server.address() as AddressInfo).port;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async comeBack(): Promise<void> {
    this.#server.listen(this.#downAt, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /** Resolves when a request is held. */
  untilHeld(): Promise<void> {
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  /** Lets the server have what was held. */
  release(): void {
    for (const forward of this.#held.splice(0)) forward();
  }

  /** Closes what is open, and waits until the other side has noticed. */
  async closeConnections(): Promise<void> {
    const clients = [...this.#clients];
    await Promise.all(clients.map((client) => once(client.end(), 'close')));
  }

  heal(): void {
    this.#cut = undefined;
    this.#isOnce = false;
    this.#requestsLeft = Infinity;
    this.#delayMs = 0;
    this.#turnsAway = false;
    this.#rewrite = undefined;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket, port: number): void {
    this.connections++;
    if (this.#turnsAway) {
      this.#track(client);
      client.resume().end();
      return;
    }
    const upstream = connect(port, '127.0.0.1').setNoDelay(true);
    client.setNoDelay(true);
    for (const socket of [client, upstream]) this.#track(socket);
    upstream.on('close', () => client.destroy());
    this.#clients.add(client);
    client.on('close', () => {
      this.#clients.delete(client);
      this.#forgotten.delete(client);
    });
    let waiting = Buffer.alloc(0);
    client.on('data', (chunk: Buffer) => {
      const forgotten = this.#forgotten.get(client);
      if (forgotten === 'rst') client.resetAndDestroy();
      if (forgotten !== undefined) return;
      waiting = Buffer.concat([waiting, chunk]);
      for (let length = this.frameLength(waiting); length > 0; length = this.frameLength(waiting)) {
        this.#request(waiting.subarray(0, length), client, upstream);
        waiting = waiting.subarray(length);
      }
    });
    let unread = Buffer.alloc(0);
    let before: Buffer | null = null;
    upstream.on('data', (chunk: Buffer) => {
      if (this.#rewrite === undefined && unread.length === 0) {
        this.#reply(chunk, client);
        return;
      }
      unread = Buffer.concat([unread, chunk]);
      for (let length = binaryFrameLength(unread); length > 0; length = binaryFrameLength(unread)) {
        const response = unread.subarray(0, length);
        for (const bytes of this.#rewrite?.(response, before) ?? [response]) this.#reply(bytes, client);
        before = response;
        unread = unread.subarray(length);
      }
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #request(frame: Buffer, client: Socket, upstream: Socket): void {
    this.requests++;
    if (this.#forgotten.has(client)) return;
    if (this.#inserted !== undefined) client.write(this.#inserted);
    this.#inserted = undefined;
    if (this.#requestsLeft-- > 0) {
      upstream.write(frame);
      return;
    }
    if (this.#isOnce) this.#requestsLeft = Infinity;
    switch (this.#late) {
      case 'held':
        this.#held.push(() => upstream.write(frame));
        this.#onHeld?.();
        return;
      case 'unanswered':
        this.#deaf.add(client);
        upstream.write(frame);
        return;
      case 'lost':
        client.resetAndDestroy();
        return;
      default:
        this.#late satisfies never;
    }
  }

  #reply(chunk: Buffer, client: Socket): void {
    if (this.#forgotten.has(client)) return;
    if (this.#deaf.has(client)) {
      if (this.#unanswered === 'rst') client.resetAndDestroy();
      return;
    }
    const cut = this.#cut;
    const passing = cut === undefined ? chunk : chunk.subarray(0, cut.bytesLeft);
    this.replyBytes += passing.length;
    this.#send(passing, client);
    if (cut === undefined) return;
    cut.bytesLeft -= passing.length;
    if (passing.length < chunk.length) this.#end(cut.ending, client);
  }

  #send(bytes: Buffer, client: Socket): void {
    if (bytes.length === 0 || client.destroyed) return;
    if (this.#delayMs === 0) client.write(bytes);
    else setTimeout(() => client.write(bytes), this.#delayMs);
  }

  #end(ending: Ending, client: Socket): void {
    switch (ending) {
      case 'fin':
        client.end();
        return;
      case 'rst':
        client.resetAndDestroy();
        return;
      case 'garbage':
        client.write(Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'.repeat(4)));
        return;
      case 'silence':
        return;
      default:
        ending satisfies never;
    }
  }
}

function binaryFrameLength(bytes: Buffer): number {
  if (bytes.length < HEADER_BYTES) return 0;
  const length = HEADER_BYTES + bytes.readUInt32BE(BODY_LENGTH_OFFSET);
  return bytes.length < length ? 0 : length;
}

/** Of a command of Redis: `*2 CRLF $3 CRLF GET CRLF $1 CRLF k CRLF`. */
export function redisFrameLength(bytes: Buffer): number {
  const line = (from: number): { readonly count: number; readonly next: number } | null => {
    const end = bytes.indexOf('\r\n', from);
    return end < 0 ? null : { count: Number(bytes.toString('latin1', from + 1, end)), next: end + 2 };
  };
  let position = line(0);
  for (let parts = position?.count ?? 0; parts > 0 && position !== null; parts--) {
    const size = line(position.next);
    position = size && { count: 0, next: size.next + size.count + 2 };
  }
  return position === null || position.next > bytes.length ? 0 : position.next;
}
