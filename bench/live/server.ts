import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { LiveMessage, LiveReply } from './messages.js';

/** A process that serves streams. */
export class LiveServer {
  static async start(redisUrl: string, secretKey: string): Promise<LiveServer> {
    const child = fork(fileURLToPath(new URL('./server.process.js', import.meta.url)), [redisUrl, secretKey], {
      execArgv: ['--expose-gc'],
    });
    const [message] = (await once(child, 'message')) as [LiveReply];
    if (!('port' in message)) throw new Error('The server did not start.');
    return new LiveServer(child, message.port);
  }

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  async open(count: number): Promise<readonly string[]> {
    const message = await this.#ask({ ask: 'open', count });
    if ('tokens' in message) return message.tokens;
    throw new Error('The server made no sessions.');
  }

  async bytes(): Promise<number> {
    const message = await this.#ask({ ask: 'memory' });
    if ('bytes' in message) return message.bytes;
    throw new Error('The server counted nothing.');
  }

  async end(): Promise<void> {
    await this.#ask({ ask: 'end' });
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }

  async #ask(message: LiveMessage): Promise<LiveReply> {
    this.child.send(message);
    const [reply] = (await once(this.child, 'message')) as [LiveReply];
    return reply;
  }
}
