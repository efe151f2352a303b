import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { median } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import { inFreshProcess } from './fresh-process.js';
import type { BytesMeasured, ExpiryMeasured, Holder } from './messages.js';
import { LAYOUTS, type Layout } from './sessions.js';

const TARGET_RATIO = 1.2;

const USAGE = `npm run bench -- memory [options]
  --sessions <n>   held when their bytes are counted; default 100000
  --expired <n>    sessions to expire; default 1000000
  --rounds <n>     of each figure; default 3`;

const HOW_TO_READ = `\
How to read: medians over the rounds, each figure from a process of its own. "Map" is a plain Map of the same ids and the same records as text,
which knows neither users nor expiry. "Longest block": the longest that the event loop did nothing else, collections of garbage included.`;

const LABELS: Record<Layout, string> = {
  one: 'each session another user',
  five: '5 sessions a user',
  anonymous: 'anonymous',
};

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '100000' },
    expired: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
});
const [sessions, expired, rounds] = [values.sessions, values.expired, values.rounds].map(Number) as [
  number,
  number,
  number,
];

if (values.help || !(sessions >= 1) || !(expired >= 1) || !(rounds >= 1)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  console.log(`Node ${process.version}, ${cpus()[0]!.model}; ${rounds} rounds`);
  await reportBytes();
  await reportExpiry();
  console.log(`\n${HOW_TO_READ}`);
}

async function reportBytes(): Promise<void> {
  const taken = new Map<Layout, Record<Holder, BytesMeasured[]>>();
  for (const layout of LAYOUTS) taken.set(layout, { map: [], backend: [] });
  for (let round = 0; round < rounds; round++) {
    for (const [layout, figures] of taken) {
      for (const holder of ['map', 'backend'] as const) {
        figures[holder].push(await inFreshProcess<BytesMeasured>('./bytes.process.js', [holder, layout, sessions]));
      }
    }
  }

  const rows = [...taken].map(([layout, { map, backend }]) => {
    const plain = median(map.map(({ bytes }) => bytes));
    const ours = median(backend.map(({ bytes }) => bytes));
    return [LABELS[layout], whole(map[0]!.payloadCharacters), whole(plain), whole(ours), ratio(ours / plain)];
  });
  console.log(
    `\n${table([`bytes a session, of ${whole(sessions)}`, 'payload', 'Map', 'MemoryBackend', '/Map'], rows)}\n`,
  );
  console.log(`Target: at most ${TARGET_RATIO} times the Map.`);
}

async function reportExpiry(): Promise<void> {
  const taken: ExpiryMeasured[] = [];
  for (let round = 0; round < rounds; round++) {
    taken.push(await inFreshProcess<ExpiryMeasured>('./expiry.process.js', [expired]));
  }
  const totalMs = median(taken.map((figures) => figures.totalMs));
  const longestBlockMs = median(taken.map((figures) => figures.longestBlockMs));
  const row = [whole(expired), `${whole(totalMs)} ms`, `${longestBlockMs.toFixed(1)} ms`];
  console.log(`\n${table(['sessions to expire', 'in total', 'longest block'], [row])}`);
}
