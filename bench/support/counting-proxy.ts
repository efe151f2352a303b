import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What has passed since the last `reset()`. */
export interface Traffic {
  /** Bytes from the client to the server. */
  readonly bytesSent: number;
  /** How often the client began to send after the server had replied. */
  readonly roundTrips: number;
}

/** A TCP proxy before a store that counts what its client sends. */
export class CountingProxy {
  #bytesSent = 0;
  #roundTrips = 0;
  #clientSpoke = false;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  static async start(targetPort: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(targetPort: number) {
    this.#server = createServer({ noDelay: true }, (client) => {
      const server = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        // Handled at 'close', which follows.
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          server.destroy();
          this.#sockets.delete(socket);
        });
      }
      client.on('data', (chunk) => {
        this.#bytesSent += chunk.length;
        if (!this.#clientSpoke) this.#roundTrips++;
        this.#clientSpoke = true;
        server.write(chunk);
      });
      server.on('data', (chunk) => {
        this.#clientSpoke = false;
        client.write(chunk);
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get traffic(): Traffic {
    return { bytesSent: this.#bytesSent, roundTrips: this.#roundTrips };
  }

  reset(): void {
    this.#bytesSent = 0;
    this.#roundTrips = 0;
    this.#clientSpoke = false;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
