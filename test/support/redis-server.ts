import { Redis } from 'ioredis';

import { freePort, ServerProcess } from './processes.js';

/** A real Redis on a port of its own, that forgets everything when it stops. */
export class RedisServer extends ServerProcess {
  static async start(...extra: string[]): Promise<RedisServer> {
    return RedisServer.startOn(await freePort(), ...extra);
  }

  static async startOn(port: number, ...extra: string[]): Promise<RedisServer> {
    const server = new RedisServer(port, extra);
    await server.start();
    return server;
  }

  private constructor(port: number, extra: string[]) {
    super(port, 'redis-server', (folder) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      ...extra,
    ]);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** A client for the test to look behind the scenes with. */
  client(): Redis {
    return new Redis(this.port, '127.0.0.1');
  }
}
