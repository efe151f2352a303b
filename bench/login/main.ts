import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { RedisServer } from '../support/redis-server.js';
import { median, quantile } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import { BurstProcess, type BurstRate } from './burst.js';
import { sessionx, type Contestant } from './contestants.js';

const USAGE = `npm run bench -- login [options]
  --rounds <n>     bursts of each; default 15
  --logins <n>     in a burst; default 10000`;

const HOW_TO_READ = `\
How to read: sessions made per second, and what the process took for each, without Redis; medians over the rounds. The ratio is the median of
the ratios within each round, with its quartiles: above 1 is in favour of sessionx.
Each of the two has a process of its own, and begins every other round. A client makes one session after the other; each session is another
user's, where nothing else is said. The pipeline keeps no limit and is not atomic.`;

const CLIENTS = [1, 64];
const LIMIT = 100_000;
const SESSIONS_OF_A_USER = [1, 100, 1000, 10_000];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
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
  try {
    await compare(redis, ours);
    await byNumberOfSessions(ours, atLimit);
    console.log(`\n${HOW_TO_READ}`);
  } finally {
    await Promise.all([ours.close(), atLimit.close()]);
    await redis.stop();
  }
}

async function compare(redis: RedisServer, ours: Contestant): Promise<void> {
  const processes = [
    await BurstProcess.start('sessionx', redis.url, LIMIT),
    await BurstProcess.start('pipeline', redis.url, LIMIT),
  ] as const;
  const rows: string[][] = [];
  for (const clients of CLIENTS) {
    const rates: [BurstRate[], BurstRate[]] = [[], []];
    for (let round = -2; round < rounds; round++) {
      for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const rate = await processes[which].burst({ clients, logins, prefix: `${which}-${clients}-${round}` });
        // The first rounds warm up.
        if (round >= 0) rates[which].push(rate);
      }
      await redis.empty();
    }
    // The time of the server, which the login before has brought, is believed for a second.
    await ours.logIn(`before-${clients}`);
    const before = await redis.totalCalls();
    await ours.logIn(`counted-${clients}`);
    const commands = (await redis.totalCalls()) - before;
    const [ourRates, pipelineRates] = rates.map((each) => each.map(({ perSecond }) => perSecond)) as [
      number[],
      number[],
    ];
    const [ourCpu, pipelineCpu] = rates.map((each) => each.map(({ cpuUs }) => cpuUs)) as [number[], number[]];
    rows.push([
      `${clients} clients`,
      whole(median(ourRates)),
      whole(median(pipelineRates)),
      spread(ourRates.map((rate, round) => rate / pipelineRates[round]!)),
      median(ourCpu).toFixed(1),
      median(pipelineCpu).toFixed(1),
      spread(ourCpu.map((cpuUs, round) => pipelineCpu[round]! / cpuUs)),
      whole(commands),
    ]);
  }
  const header = ['login', 'sessionx /s', 'pipeline /s', 'ratio', 'CPU us', 'pipeline', 'ratio', 'commands'];
  console.log(`\n${table(header, rows)}`);
  await Promise.all(processes.map((each) => each.stop()));
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

/** The median of ratios, and their quartiles. */
function spread(ratios: readonly number[]): string {
  return `${ratio(median(ratios))} (${ratio(quantile(ratios, 0.25))} to ${ratio(quantile(ratios, 0.75))})`;
}
