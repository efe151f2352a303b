import { parseArgs } from 'node:util';

import { CountingProxy } from '../support/counting-proxy.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';
import { table } from '../support/table.js';
import { BOUNDS } from './bounds.js';
import { CASES } from './cases.js';
import { count, FIXED_FIGURES, type Cost, type CountedStores } from './counting.js';

const USAGE = `npm run bench -- cost [options]
  --only <text>   cases whose name contains it, such as fastify/read
  --check         compares with the stored bounds, and ends with an error where one is exceeded; without the heap, which has none`;

const HOW_TO_READ = `\
How to read: what one request makes, on average, with one request at a time on a connection that is kept. Promises and timers are all that
exist in the server process, those of Node, Nest and the platform included. Commands are Redis's own count, those in scripts included. "Heap"
is what V8 allocates, nearly all of it garbage afterwards; it alone depends on the machine.`;

/** Something else in the process may make a promise or a timer now and then. */
const TOLERANCE = 0.05;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else await run();

async function run(): Promise<void> {
  const [redis, memcached] = await Promise.all([RedisServer.start(), MemcachedServer.start()]);
  const redisProxy = await CountingProxy.start(redis.port);
  const memcachedProxy = await CountingProxy.start(memcached.port);
  const stores: CountedStores = { redis, redisProxy, memcachedProxy };
  const faults: string[] = [];
  try {
    const rows: string[][] = [];
    for (const one of CASES.filter(({ name }) => name.includes(values.only))) {
      const cost = await count(one, stores, !values.check);
      rows.push([
        one.name,
        one.label,
        ...FIXED_FIGURES.map((figure) => cost[figure].toFixed(1)),
        ...(cost.heapBytes === null ? [] : [`${(cost.heapBytes / 1024).toFixed(1)} KiB`]),
      ]);
      faults.push(...excesses(one.name, cost));
    }
    const header = [
      'case',
      'what',
      'promises',
      'timers',
      'commands',
      'round trips',
      'bytes to store',
      ...(values.check ? [] : ['heap']),
    ];
    console.log(table(header, rows));
    console.log(`\n${HOW_TO_READ}`);
  } finally {
    await Promise.all([redisProxy.stop(), memcachedProxy.stop()]);
    await Promise.all([redis.stop(), memcached.stop()]);
  }
  if (!values.check || faults.length === 0) return;
  console.error(`\nA request has become heavier than bench/cost/bounds.ts allows:\n${faults.join('\n')}`);
  process.exitCode = 1;
}

function excesses(name: string, cost: Cost): string[] {
  const bounds = BOUNDS[name];
  if (bounds === undefined) return [`- ${name} has no bounds`];
  return FIXED_FIGURES.filter((figure) => cost[figure] > bounds[figure] + TOLERANCE).map(
    (figure) => `- ${name}: ${cost[figure].toFixed(2)} ${figure}, at most ${bounds[figure]}`,
  );
}
