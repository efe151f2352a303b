import { Client } from 'memjs';
import { once } from 'node:events';
import { connect } from 'node:net';

import { freePort, ServerProcess } from './processes.js';

/** A real Memcached on a port of its own, that forgets everything when it stops. */
export class MemcachedServer extends ServerProcess {
  /** @param extra arguments, such as `-m 1` for a megabyte of memory */
  static async start(...extra: string[]): Promise<MemcachedServer> {
    return MemcachedServer.startOn(await freePort(), ...extra);
  }

  static async startOn(port: number, ...extra: string[]): Promise<MemcachedServer> {
    const server = new MemcachedServer(port, extra);
    await server.start();
    return server;
  }

  private constructor(port: number, extra: string[]) {
    super(port, 'memcached', () => ['-p', String(port), '-l', '127.0.0.1', '-U', '0', '-u', 'nobody', ...extra]);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** A client for the test to look behind the scenes with. */
  client(): Client {
    return Client.create(this.address, { logger: { log: () => undefined } });
  }

  /** The seconds for which an item is still kept, which only the text protocol tells; -1: for ever, null: there is none. */
  async secondsLeft(key: string): Promise<number | null> {
    const found = /^HD t(-?\d+)/.exec(await this.#ask(`mg ${key} t`));
    return found === null ? null : Number(found[1]);
  }

  /** Removes an item without any client's request, as a full server does. */
  async evict(key: string): Promise<void> {
    const reply = await this.#ask(`delete ${key}`);
    if (reply !== 'DELETED\r\n') throw new Error(`There was no ${key}: ${reply}`);
  }

  async #ask(command: string): Promise<string> {
    const socket = connect(this.port, '127.0.0.1');
    socket.write(`${command}\r\n`);
    const [reply] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return reply.toString();
  }
}
