import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Bursts of logins to be made. */
export interface BurstMessage {
  readonly clients: number;
  readonly logins: number;
  /** Begins the id of each user. */
  readonly prefix: string;
}

/** The reply to each message, and at the start, when it is ready. */
export interface BurstReply {
  readonly perSecond: number;
}

/** One contestant in a process of its own, as an application has it: none collects the garbage of another in its burst. */
export class BurstProcess {
  static async start(contestant: 'sessionx' | 'pipeline', redisUrl: string, limit: number): Promise<BurstProcess> {
    const module = fileURLToPath(new URL('./burst.process.js', import.meta.url));
    const child = fork(module, [contestant, redisUrl, String(limit)]);
    await once(child, 'message');
    return new BurstProcess(child);
  }

  private constructor(private readonly child: ChildProcess) {}

  /** @returns sessions made per second */
  async burst(message: BurstMessage): Promise<number> {
    this.child.send(message);
    const [{ perSecond }] = (await once(this.child, 'message')) as [BurstReply];
    return perSecond;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
