import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { ratio, table, whole } from '../support/table.js';
import { runRounds, Series } from './measurement.js';
import { PopulatedRedis } from './populated-redis.js';

const WARM_UP_ROUNDS = 30;

const USAGE = `npm run bench -- logout [options]
  --sessions <list>      of other users, by commas; default 1000,10000,100000,1000000
  --rounds <n>           logouts by the backend, beside each number of sessions; default 300
  --naive-rounds <n>     logouts by SCAN and GET; default 2`;

const HOW_TO_READ = `\
How to read: one user with 10 sessions is logged out everywhere; milliseconds are medians, seen by the client. The ratios are to the line of the
fewest sessions. "Commands" are all that Redis counted for one logout, those within scripts included. Each number of sessions has a Redis of
its own; all of them and the client share this machine.`;

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

if (values.help || !sizes.every((size) => size >= 1) || !(rounds >= 1) || !(naiveRounds >= 1)) {
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
    report(ours, naive);
  } finally {
    await stop();
  }
}

function report(ours: readonly Series[], naive: readonly Series[]): void {
  const header = [
    'sessions of others',
    'backend ms',
    'growth',
    'commands',
    'naive ms',
    'growth',
    'commands',
    'naive/backend',
  ];
  const rows = ours.map((series, position) => {
    const other = naive[position]!;
    return [
      whole(series.redis.others),
      series.medianMs.toFixed(2),
      ratio(series.medianMs / ours[0]!.medianMs),
      whole(total(series)),
      other.medianMs.toFixed(1),
      ratio(other.medianMs / naive[0]!.medianMs),
      whole(total(other)),
      whole(other.medianMs / series.medianMs),
    ];
  });
  console.log(`\n${table(header, rows)}\n`);
  const last = ours.at(-1)!;
  console.log(
    `One logout by the backend: ${[...last.commands].map(([name, count]) => `${count} ${name}`).join(' + ')}.`,
  );
  console.log(`\n${HOW_TO_READ}`);
}

function total({ commands }: Series): number {
  return [...commands.values()].reduce((sum, count) => sum + count, 0);
}
