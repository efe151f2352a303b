import { connect, type Socket } from 'node:net';

const AT_ONCE = 200;

/** Open streams of one server. */
export class Streams {
  readonly #sockets: Socket[] = [];
  #open = 0;
  #allEnded: (() => void) | undefined;

  /** Resolves when each stream has begun. */
  async open(port: number, path: string, tokens: readonly string[]): Promise<void> {
    for (let from = 0; from < tokens.length; from += AT_ONCE) {
      await Promise.all(tokens.slice(from, from + AT_ONCE).map((token) => this.#openOne(port, path, token)));
    }
  }

  /** Resolves when the last stream has ended. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open === 0) resolve();
      else this.#allEnded = resolve;
    });
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #openOne(port: number, path: string, token: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      this.#sockets.push(socket);
      this.#open++;
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        const text = chunk.toString('latin1');
        if (text.includes('data: first')) resolve();
        if (text.includes('session-ended') && --this.#open === 0) this.#allEnded?.();
      });
      socket.write(`GET /${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Session-Token: ${token}\r\n\r\n`);
    });
  }
}
