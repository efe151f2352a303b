import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { ratio, table, whole } from '../support/table.js';
import { OPERATIONS, runRounds, Series } from './measurement.js';
import { PopulatedRedis } from './populated-redis.js';

const WARM_UP_ROUNDS = 30;

const USAGE = `npm run bench -- scale [options]
  --sessions <list>      of other users, by commas; default 1000,10000,100000,1000000
  --rounds <n>           of the backend, beside each number of sessions; default 300
  --naive-rounds <n>     logouts by SCAN and GET; default 2`;

const HOW_TO_READ = `\
How to read: one user has 10 sessions among those of others. Milliseconds are medians, seen by the client; "growth" is the ratio to the line of
the fewest sessions. "Commands" are all that Redis counted, those within scripts included. The naive logout looks at every session by SCAN and
GET. Each number of sessions has a Redis of its own, whose tables have grown to their size before the first round, and the rounds go from
one to the next; all of them and the client share one CPU where taskset is there.`;

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '1000,10000,100000,1000000' },
    rounds: { type: 'string', default: '300' },
    'naive-rounds': { type: 'string', default: '2' },
    help: { type: 'boolean', default: false },
  },
});
const sizes = values.sessions.split(',').map(Number);
const [rounds, naiveRounds] = [values.rounds, values['naive-rounds']].map(Number) as [number, number];

if (values.help || !sizes.every((size) => size >= 1) || !(rounds >= 1) || !(naiveRounds >= 0)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  console.log(`Node ${process.version}, ${cpus()[0]!.model}; ${rounds} rounds, ${naiveRounds} of the naive way`);
  const servers: PopulatedRedis[] = [];
  const stop = () => Promise.all(servers.map((server) => server.stop()));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stop().then(() => process.exit(1)));
  }
  try {
    for (const size of sizes) servers.push(await PopulatedRedis.start(size));
    const ours = servers.map((server) => new Series(server, 'backend'));
    const naive = servers.map((server) => new Series(server, 'naive'));
    await runRounds(ours, WARM_UP_ROUNDS);
    for (const series of ours) series.reset();
    await runRounds(ours, rounds);
    await runRounds(naive, naiveRounds);
    report(ours, naiveRounds === 0 ? [] : naive);
  } finally {
    await stop();
  }
}

function report(ours: readonly Series[], naive: readonly Series[]): void {
  const header = ['what', 'sessions of others', 'ms', 'growth', 'commands'];
  const rows = [
    ...OPERATIONS.flatMap((operation) => ours.map((series) => row(operation, series, ours[0]!))),
    ...naive.map((series) => ['naive logout', ...row('log out everywhere', series, naive[0]!).slice(1)]),
  ];
  console.log(`\n${table(header, rows)}\n\n${HOW_TO_READ}`);
}

function row(operation: (typeof OPERATIONS)[number], series: Series, fewest: Series): string[] {
  return [
    operation,
    whole(series.redis.others),
    series.medianMs(operation).toFixed(3),
    ratio(series.medianMs(operation) / fewest.medianMs(operation)),
    whole(series.commands(operation)),
  ];
}
