import type { SessionRecord } from 'nestjs-sessionx';

import { median } from '../support/statistics.js';
import { logOutByScan } from './naive.js';
import { KEY_PREFIX, type PopulatedRedis } from './populated-redis.js';
import { sessionsOf } from './sessions.js';

/** The user whose sessions are used. */
const USER = 'ada';
const SESSIONS = 10;

/** What is measured, in this order: one user's session is read, a further one is made, all are listed, and all are ended. */
export const OPERATIONS = ['read', 'login', 'list', 'log out everywhere'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** The operations on one of the servers. */
export class Series {
  readonly #milliseconds = new Map<Operation, number[]>(OPERATIONS.map((operation) => [operation, []]));
  readonly #commands = new Map<Operation, number>();

  constructor(
    readonly redis: PopulatedRedis,
    readonly way: 'backend' | 'naive',
  ) {}

  medianMs(operation: Operation): number {
    return median(this.#milliseconds.get(operation)!);
  }

  /** Of the last run. */
  commands(operation: Operation): number {
    return this.#commands.get(operation)!;
  }

  async run(): Promise<void> {
    const { backend, client } = this.redis;
    const sessions = sessionsOf(USER, SESSIONS);
    const [first, ...others] = sessions as [SessionRecord, ...SessionRecord[]];
    await this.redis.logIn(others);
    const tag = first.userTag!;
    if (this.way === 'naive') {
      await this.redis.logIn([first]);
      await this.#measure('log out everywhere', () => logOutByScan(client, KEY_PREFIX, USER));
      // The naive way knows no index, and leaves it.
      await backend.deleteByUser(tag);
      return;
    }
    await this.#measure('login', async () => {
      await this.redis.logIn([first]);
      return SESSIONS;
    });
    await this.#measure('read', async () => ((await backend.read(first.id)) === null ? 0 : SESSIONS));
    await this.#measure('list', async () => (await backend.listByUser(tag)).length);
    await this.#measure('log out everywhere', async () => (await backend.deleteByUser(tag)).length);
  }

  /** Forgets what was measured so far: the first runs are slow for reasons of their own. */
  reset(): void {
    for (const milliseconds of this.#milliseconds.values()) milliseconds.length = 0;
  }

  async #measure(operation: Operation, work: () => Promise<number>): Promise<void> {
    const commands = await this.redis.commandsOf(async () => {
      const startedAt = performance.now();
      const seen = await work();
      this.#milliseconds.get(operation)!.push(performance.now() - startedAt);
      if (seen !== SESSIONS) throw new Error(`${operation}: ${seen} of ${SESSIONS} sessions.`);
    });
    this.#commands.set(operation, commands);
  }
}

/** One server after the other in each round, so that what disturbs the machine meanwhile disturbs all of them. */
export async function runRounds(all: readonly Series[], rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const series of all) await series.run();
  }
}
