import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { Credential, LoginResponse, Platform, SignedIn, Stores } from './apps/app-definition.js';
import type { Burst, BurstResult, CpuUsed, Listening } from './messages.js';
import { isUser } from './session-content.js';
import type { Variant } from './variants.js';

/** A child process that responds to each message with one. It exits when its channel closes, so it does not outlive the benchmark. */
export class Worker {
  readonly #child: ChildProcess;

  constructor(module: string, args: readonly string[] = [], execArgv: readonly string[] = []) {
    this.#child = fork(fileURLToPath(new URL(module, import.meta.url)), args, {
      execArgv: [...execArgv],
      env: { ...process.env, NODE_ENV: 'production' },
    });
  }

  async receive<Reply>(): Promise<Reply> {
    const gone = new AbortController();
    try {
      const [reply] = (await Promise.race([
        once(this.#child, 'message', { signal: gone.signal }),
        once(this.#child, 'exit', { signal: gone.signal }).then(() => {
          throw new Error('A process of the benchmark ended early.');
        }),
      ])) as [Reply];
      return reply;
    } finally {
      gone.abort();
    }
  }

  ask<Reply>(question: object): Promise<Reply> {
    this.#child.send(question);
    return this.receive<Reply>();
  }

  async stop(): Promise<void> {
    if (!this.#child.connected) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}

/** A variant in a process of its own. */
export class ServerProcess {
  static async start(
    platform: Platform,
    variant: Variant,
    { redisUrl, memcachedAddress }: Stores,
    profileFolder?: string,
  ): Promise<ServerProcess> {
    const profiling =
      profileFolder === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${platform}-${variant.name}.cpuprofile`];
    const worker = new Worker('./server.process.js', [platform, variant.name, redisUrl, memcachedAddress], profiling);
    const { port } = await worker.receive<Listening>();
    return new ServerProcess(variant, worker, port);
  }

  private constructor(
    readonly variant: Variant,
    private readonly worker: Worker,
    readonly port: number,
  ) {}

  /** Logs in, and makes the first request. */
  async logIn(): Promise<SignedIn> {
    const credential = await this.#credential();
    const url = `http://127.0.0.1:${this.port}${this.variant.path}`;
    const response = await fetch(url, { headers: { [credential.header]: credential.value } });
    const expectedBody = await response.text();
    if (response.ok && isUser(expectedBody)) return { ...credential, expectedBody };
    throw new Error(`${this.variant.label} returned a wrong response:\n${expectedBody}`);
  }

  /** The header that authenticates the requests of a client that has just logged in. */
  async #credential(): Promise<Credential> {
    const response = await fetch(`http://127.0.0.1:${this.port}/login`, {
      method: 'POST',
      headers: { origin: 'http://bench.example' },
    });
    if (!response.ok) throw new Error(`${this.variant.label}: the login returned ${response.status}.`);
    const [cookie] = response.headers.getSetCookie();
    if (cookie !== undefined) return { header: 'Cookie', value: cookie.split(';', 1)[0]! };
    const { token } = (await response.json()) as LoginResponse;
    return { header: 'X-Session-Token', value: token };
  }

  cpuUsed(): Promise<CpuUsed> {
    return this.worker.ask<CpuUsed>({ ask: 'cpu' });
  }

  stop(): Promise<void> {
    return this.worker.stop();
  }
}

/** The client side of all bursts. */
export class LoadProcess {
  readonly #worker = new Worker('./load.process.js');

  run(burst: Burst): Promise<BurstResult> {
    return this.#worker.ask<BurstResult>(burst);
  }

  stop(): Promise<void> {
    return this.#worker.stop();
  }
}
