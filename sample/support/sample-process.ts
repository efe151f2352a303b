import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { compiled } from '../../test/support/compiled.js';
import type { Reply } from './reply.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** A sample, or a part of one, in a process of its own that Node itself runs; see {@link compiled}. */
export class SampleProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown[]>;
  #output = '';

  /** @param env all that the process sees of the environment, besides PATH */
  constructor(file: URL, env: Environment = {}, args: readonly string[] = []) {
    this.#child = fork(compiled(fileURLToPath(file)), args, {
      execArgv: [],
      env: { PATH: process.env.PATH, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#exit = once(this.#child, 'exit');
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
        this.#child.emit('output');
      });
    }
  }

  /** All that it has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** The first match in what it prints. @throws Error when it ends without one */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#output);
      if (match !== null) return match;
      if (this.#child.exitCode !== null) throw new Error(`It ended without ${pattern.source}:\n${this.#output}`);
      await Promise.race([once(this.#child, 'output'), this.#exit]);
    }
  }

  /** Sends a message, and waits for the response. @throws Error if the process could not answer, or ended */
  async ask(question: unknown): Promise<unknown> {
    const response = once(this.#child, 'message');
    this.#child.send(question as object);
    const ended = this.#exit.then(() => {
      throw new Error(`It ended without a response:\n${this.#output}`);
    });
    const [reply] = (await Promise.race([response, ended])) as [Reply];
    if ('error' in reply) throw new Error(`It could not answer: ${reply.error}`);
    return reply.returned;
  }

  /** The exit code, once it has ended by itself or by {@link stop}. */
  async exitCode(): Promise<number | null> {
    await this.#exit;
    return this.#child.exitCode;
  }

  /** As a supervisor does it. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return this.exitCode();
  }
}
