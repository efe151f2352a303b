import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from './redis-server.js';

const PATIENCE_MS = 10_000;

/** A Memcached of our own on a free port. */
export class MemcachedServer {
  static async start(): Promise<MemcachedServer> {
    const port = await freePort();
    const args = ['-p', String(port), '-l', '127.0.0.1', '-U', '0', '-u', 'nobody', '-m', '256'];
    const child = spawn('memcached', args, { stdio: 'ignore' });
    await Promise.race([
      once(child, 'spawn'),
      once(child, 'error').then(([error]) => {
        throw new Error('memcached is needed, on the PATH.', { cause: error });
      }),
    ]);
    const endsAt = performance.now() + PATIENCE_MS;
    while (!(await listens(port))) {
      if (performance.now() > endsAt) throw new Error('memcached does not listen.');
      await sleep(10);
    }
    return new MemcachedServer(port, child);
  }

  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
  ) {}

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill();
    await exited;
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
