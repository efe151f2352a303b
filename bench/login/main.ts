import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { RedisServer } from '../support/redis-server.js';
import { median } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import { pipeline, sessionx, type Contestant } from './contestants.js';

const USAGE = `npm run bench -- login [options]
  --rounds <n>     bursts of each; default 6
  --logins <n>     in a burst; default 10000. A short one leaves its garbage to the next`;

const HOW_TO_READ = `\
How to read: sessions made per second, medians over the rounds; the ratio is the median of the ratios within each round. A client makes one
session after the other; each session is another user's, where nothing else is said. The pipeline keeps no limit and is not atomic.`;

const CLIENTS = [1, 64];
const LIMIT = 100_000;
const SESSIONS_OF_A_USER = [1, 100, 1000, 10_000];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    logins: { type: 'string', default: '10000' },
    help: { type: 'boolean', default: false },
  },
});
const [rounds, logins] = [values.rounds, values.logins].map(Number) as [number, number];

if (values.help || !(rounds >= 1) || !(logins >= 1)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  console.log(`Node ${process.version}, ${cpus()[0]!.model}; ${rounds} rounds of ${logins} logins`);
  const redis = await RedisServer.start();
  const ours = await sessionx(redis.url, LIMIT);
  const atLimit = await sessionx(redis.url, 100);
  const naive = await pipeline(redis.url);
  try {
    await compare(redis, ours, naive);
    await byNumberOfSessions(ours, atLimit);
    console.log(`\n${HOW_TO_READ}`);
  } finally {
    await Promise.all([ours.close(), atLimit.close(), naive.close()]);
    await redis.stop();
  }
}

async function compare(redis: RedisServer, ours: Contestant, naive: Contestant): Promise<void> {
  const rows: string[][] = [];
  for (const clients of CLIENTS) {
    const [a, b]: [number[], number[]] = [[], []];
    for (let round = -1; round < rounds; round++) {
      const name = `${clients}-${round}`;
      const [ourRate, naiveRate] = [await burst(ours, clients, name), await burst(naive, clients, name)];
      // The first round warms up.
      if (round < 0) continue;
      a.push(ourRate);
      b.push(naiveRate);
    }
    // The time of the server, which the login before has brought, is believed for a second.
    await ours.logIn(`before-${clients}`);
    const before = await redis.totalCalls();
    await ours.logIn(`counted-${clients}`);
    const commands = (await redis.totalCalls()) - before;
    rows.push([
      `${clients} clients`,
      whole(median(a)),
      whole(median(b)),
      ratio(median(a.map((rate, round) => rate / b[round]!))),
      whole(commands),
    ]);
  }
  console.log(`\n${table(['login', 'sessionx /s', 'pipeline /s', 'ratio', 'commands'], rows)}`);
}

/** Below the limit the number of a user's sessions must not matter; at it, one of them has to go. */
async function byNumberOfSessions(ours: Contestant, atLimit: Contestant): Promise<void> {
  const users = SESSIONS_OF_A_USER.map((sessions) => ({ sessions, userId: `user-with-${sessions}` }));
  for (const { sessions, userId } of users) await logInTimes(ours, userId, sessions - 1);
  await logInTimes(atLimit, 'user-at-limit', 100);
  const times = new Map<string, number[]>();
  const measure = async (label: string, contestant: Contestant, userId: string) => {
    const startedAt = performance.now();
    await contestant.logIn(userId);
    times.set(label, [...(times.get(label) ?? []), performance.now() - startedAt]);
  };
  for (let round = 0; round < 30 * rounds; round++) {
    for (const { sessions, userId } of users) await measure(`${whole(sessions)} sessions`, ours, userId);
    await measure('100 sessions, at the limit', atLimit, 'user-at-limit');
  }
  const [first = 0] = [...times.values()].map((each) => median(each));
  const rows = [...times].map(([label, each]) => [label, median(each).toFixed(3), ratio(median(each) / first)]);
  console.log(`\n${table(['one login of a user with', 'ms', 'growth'], rows)}`);
}

async function logInTimes(contestant: Contestant, userId: string, times: number): Promise<void> {
  for (let made = 0; made < times;) {
    const some = Math.min(50, times - made);
    await Promise.all(Array.from({ length: some }, () => contestant.logIn(userId)));
    made += some;
  }
}

/** Sessions made per second by so many clients. */
async function burst(contestant: Contestant, clients: number, name: string): Promise<number> {
  let made = 0;
  const startedAt = performance.now();
  const client = async (): Promise<void> => {
    while (made < logins) await contestant.logIn(`${name}-${made++}`);
  };
  await Promise.all(Array.from({ length: clients }, client));
  return logins / ((performance.now() - startedAt) / 1000);
}
