import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_LIMIT_MS = 10_000;

/** A port of the loopback interface on which no process listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A server that a test has started, and that the same test stops. */
export class ServerProcess {
  #child: ChildProcess | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sessionx-test-'));

  constructor(
    readonly port: number,
    private readonly command: string,
    private readonly args: (folder: string) => readonly string[],
  ) {}

  async start(): Promise<void> {
    const child = spawn(this.command, this.args(this.#folder), { stdio: 'ignore', cwd: this.#folder });
    this.#child = child;
    const started = Date.now();
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || Date.now() - started > START_LIMIT_MS) {
        throw new Error(`${this.command} did not start on port ${this.port}`);
      }
      await sleep(10);
    }
  }

  /** Dead at once, like a machine without power. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Alive, and responds to nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
