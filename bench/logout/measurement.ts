import { median } from '../support/statistics.js';
import { logOutByScan } from './naive.js';
import { KEY_PREFIX, type PopulatedRedis } from './populated-redis.js';
import { sessionsOf } from './sessions.js';

/** The user who is logged out. */
const USER = 'ada';
const SESSIONS = 10;

/** A way to log out everywhere, on one of the servers. */
export class Series {
  readonly #milliseconds: number[] = [];
  #commands = new Map<string, number>();

  constructor(
    readonly redis: PopulatedRedis,
    readonly way: 'backend' | 'naive',
  ) {}

  get medianMs(): number {
    return median(this.#milliseconds);
  }

  /** Of the last logout. */
  get commands(): ReadonlyMap<string, number> {
    return this.#commands;
  }

  /** Logs the user in, ten times, and out; only the latter is measured. */
  async run(): Promise<void> {
    const { backend, client } = this.redis;
    const sessions = sessionsOf(USER, SESSIONS);
    const tag = sessions[0]!.userTag!;
    await this.redis.logIn(sessions);
    this.#commands = await this.redis.commandsOf(async () => {
      const startedAt = performance.now();
      const ended =
        this.way === 'backend'
          ? (await backend.deleteByUser(tag)).length
          : await logOutByScan(client, KEY_PREFIX, USER);
      this.#milliseconds.push(performance.now() - startedAt);
      if (ended !== SESSIONS) throw new Error(`${ended} of ${SESSIONS} sessions were ended.`);
    });
    // The naive way knows no index, and leaves it.
    if (this.way === 'naive') await backend.deleteByUser(tag);
  }

  /** Forgets what was measured so far: the first runs are slow for reasons of their own. */
  reset(): void {
    this.#milliseconds.length = 0;
  }
}

/** One server after the other in each round, so that what disturbs the machine meanwhile disturbs all of them. */
export async function runRounds(all: readonly Series[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const series of all) await series.run();
  }
}
