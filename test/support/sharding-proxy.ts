import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What decides on which server a key lies: all of it, as by default, or what stands in braces. */
export type HashedPart = 'whole key' | 'hash tag';

/**
 * A proxy in front of several Redis servers, such as twemproxy or Envoy: each command goes to the server of its first key, and those without a
 * key are replied to here, or refused. It forwards one command of a connection after the other, so that replies keep their order.
 */
export class ShardingProxy {
  hashes: HashedPart = 'whole key';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async to(ports: readonly number[], hashes: HashedPart = 'whole key', listenOn = 0): Promise<ShardingProxy> {
    const proxy = new ShardingProxy(ports);
    proxy.hashes = hashes;
    proxy.#server.listen(listenOn, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(private readonly ports: readonly number[]) {
    this.#server = createServer((client) => this.#accept(client));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    const shards = this.ports.map((port) => this.#keep(connect(port, '127.0.0.1')));
    this.#keep(client).on('close', () => shards.forEach((shard) => shard.destroy()));
    for (const shard of shards) shard.on('close', () => client.destroy());
    let waiting = Buffer.alloc(0);
    let last = Promise.resolve();
    client.on('data', (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk]);
      for (let command = readCommand(waiting); command !== null; command = readCommand(waiting)) {
        const { words, bytes } = command;
        const frame = waiting.subarray(0, bytes);
        waiting = waiting.subarray(bytes);
        last = last.then(async () => {
          if (!client.destroyed) client.write(await this.#reply(words, frame, shards));
        });
      }
    });
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    return socket.on('close', () => this.#sockets.delete(socket));
  }

  async #reply(words: readonly string[], frame: Buffer, shards: readonly Socket[]): Promise<Buffer | string> {
    const [name = '', ...args] = words;
    switch (name.toLowerCase()) {
      case 'ping':
        return '+PONG\r\n';
      case 'eval':
      case 'evalsha':
        return forward(frame, this.#shardOf(args[2] ?? '', shards));
      case 'get':
      case 'type':
        return forward(frame, this.#shardOf(args[0] ?? '', shards));
      default:
        return `-ERR unknown command '${name}', with args beginning with: \r\n`;
    }
  }

  #shardOf(key: string, shards: readonly Socket[]): Socket {
    const hashed = this.hashes === 'hash tag' ? (/\{([^}]+)\}/.exec(key)?.[1] ?? key) : key;
    const shard = shards[Math.floor((hashOf(hashed) / 2 ** 32) * shards.length)];
    if (shard === undefined) throw new Error('the proxy has no servers');
    return shard;
  }
}

/** The default of twemproxy, FNV-1a, on a continuum: keys that differ in their last characters only lie together. */
function hashOf(text: string): number {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return Number(BigInt.asUintN(32, hash));
}

/** Sends one command, and waits until its whole reply is there. */
async function forward(frame: Buffer, shard: Socket): Promise<Buffer> {
  let reply = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const read = (chunk: Buffer) => {
      reply = Buffer.concat([reply, chunk]);
      if (replyLength(reply, 0) !== reply.length) return;
      shard.off('data', read);
      shard.off('close', fail);
      resolve(reply);
    };
    const fail = () => {
      reject(new Error('the server is gone'));
    };
    shard.on('data', read).once('close', fail).write(frame);
  });
}

/** The first command of `bytes`, an array of strings; null: it is not all there. */
function readCommand(bytes: Buffer): { words: string[]; bytes: number } | null {
  const length = replyLength(bytes, 0);
  if (length === 0) return null;
  const words: string[] = [];
  let at = bytes.indexOf('\r\n') + 2;
  for (let left = Number(bytes.subarray(1, at - 2)); left > 0; left--) {
    const start = bytes.indexOf('\r\n', at) + 2;
    const size = Number(bytes.subarray(at + 1, start - 2));
    words.push(bytes.toString('utf8', start, start + size));
    at = start + size + 2;
  }
  return { words, bytes: length };
}

/** Where the RESP2 value that begins at `from` ends; 0: it is not all there. */
function replyLength(bytes: Buffer, from: number): number {
  const line = bytes.indexOf('\r\n', from);
  if (line === -1) return 0;
  const count = Number(bytes.subarray(from + 1, line));
  let end = line + 2;
  switch (String.fromCharCode(bytes[from] ?? 0)) {
    case '$': {
      if (count === -1) return end;
      end += count + 2;
      return end <= bytes.length ? end : 0;
    }
    case '*':
      for (let left = count; left > 0; left--) {
        end = replyLength(bytes, end);
        if (end === 0) return 0;
      }
      return end;
    default:
      return end;
  }
}
