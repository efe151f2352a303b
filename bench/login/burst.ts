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

export interface BurstRate {
  /** Sessions made per second. */
  readonly perSecond: number;
  /** What the process took for each, microseconds, without what Redis took. */
  readonly cpuUs: number;
}

/** What the process says when it can begin, and what it replies to each message. */
export type BurstReply = 'ready' | BurstRate;

/** One contestant in a process of its own, as an application has it: none collects the garbage of another in its burst. */
export class BurstProcess {
  static async start(contestant: 'sessionx' | 'pipeline', redisUrl: string, limit: number): Promise<BurstProcess> {
    const module = fileURLToPath(new URL('./burst.process.js', import.meta.url));
    const child = fork(module, [contestant, redisUrl, String(limit)]);
    await once(child, 'message');
    return new BurstProcess(child);
  }

  private constructor(private readonly child: ChildProcess) {}

  async burst(message: BurstMessage): Promise<BurstRate> {
    this.child.send(message);
    const [rate] = (await once(this.child, 'message')) as [BurstRate];
    return rate;
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}
