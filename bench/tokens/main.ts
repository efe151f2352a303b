import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { median } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import { contestants, type Contestant } from './contestants.js';

const TARGET_PER_SECOND = 250_000;

const USAGE = `npm run bench -- tokens [options]
  --rounds <n>     passes over all tokens of each kind; default 15`;

const HOW_TO_READ = `\
How to read: tokens per second on one core, medians over the rounds, of CPU time. "/floor" is the ratio to one HMAC of node:crypto per token,
which no check of a signature by createHmac can beat. Forged: well spelled, with a wrong MAC. Remembered: seen before, as nearly all are.`;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, help: { type: 'boolean', default: false } },
});
const rounds = Number(values.rounds);

if (values.help || !(rounds >= 1)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  console.log(`Node ${process.version}, ${cpus()[0]!.model}; ${rounds} rounds`);
  const all = await contestants();
  const [floor] = all;
  for (const contestant of all) pass(contestant);

  const speeds = new Map<Contestant, number[]>(all.map((contestant) => [contestant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [contestant, taken] of speeds) taken.push(pass(contestant));
  }
  const floors = speeds.get(floor)!;
  const rows = [...speeds].map(([{ label }, taken]) => [
    label,
    whole(median(taken)),
    (1e6 / median(taken)).toFixed(2),
    ratio(median(taken.map((speed, round) => speed / floors[round]!))),
  ]);
  console.log(`\n${table(['tokens', 'per second', 'us each', '/floor'], rows)}\n`);
  console.log(
    `Target: ${whole(TARGET_PER_SECOND)} forged tokens refused per second; the floor here is ${rows[0]![1]}.`,
  );
  console.log(`\n${HOW_TO_READ}`);
}

/** Tokens per second of CPU time over all tokens. */
function pass({ label, tokens, genuine, check, reset }: Contestant): number {
  reset?.();
  const before = process.cpuUsage();
  let accepted = 0;
  for (const token of tokens) if (check(token)) accepted++;
  const { user, system } = process.cpuUsage(before);
  if (accepted !== (genuine ? tokens.length : 0)) throw new Error(`${label}: ${accepted} tokens were accepted.`);
  return (tokens.length / (user + system)) * 1e6;
}
