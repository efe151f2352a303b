import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { MemcachedServer } from '../support/memcached-server.js';
import { RedisServer } from '../support/redis-server.js';
import { PLATFORMS } from './apps/app-definition.js';
import { measure, type MeasurementOptions } from './measurement.js';
import { printHowToRead, printReport } from './report.js';
import { variantsOf } from './variants.js';

const names = [...new Set(PLATFORMS.flatMap((platform) => variantsOf(platform)).map(({ name }) => name))];

const USAGE = `npm run bench -- http [options]
  --platform <name>     express or fastify; default both
  --starts <n>          how often each variant is started anew; default 5
  --rounds <n>          bursts of each variant, after each start; default 3
  --seconds <n>         length of a burst; default 0.5
  --connections <list>  by commas, each with one request under way and a session of its own; default 8,64,256
  --only <names>        variants, by commas: ${names.join(', ')}
  --profile <folder>    leaves a CPU profile of each server there; the figures are worth less then`;

const { values } = parseArgs({
  options: {
    platform: { type: 'string' },
    starts: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.5' },
    connections: { type: 'string', default: '8,64,256' },
    only: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const platforms = PLATFORMS.filter((platform) => values.platform === undefined || values.platform === platform);
const options: MeasurementOptions = {
  starts: Number(values.starts),
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  connections: values.connections.split(',').map(Number),
  only: values.only?.split(','),
  profileFolder: values.profile,
};
const { starts, rounds, seconds, connections } = options;
const isUsable = starts >= 1 && rounds >= 1 && seconds > 0 && connections.every((n) => n >= 1);

if (values.help || platforms.length === 0 || !isUsable) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  const { model } = cpus()[0]!;
  console.log(
    `Node ${process.version}, ${cpus().length} x ${model}; ${starts} starts, each ${rounds} rounds of ${seconds} s`,
  );
  const [redis, memcached] = await Promise.all([RedisServer.start(), MemcachedServer.start()]);
  const stop = () => Promise.all([redis.stop(), memcached.stop()]);
  // Servers and load exit with this process; the stores have to be stopped.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stop().then(() => process.exit(1)));
  }
  try {
    const stores = { redisUrl: redis.url, memcachedAddress: memcached.address };
    for (const platform of platforms) printReport(platform, await measure(platform, redis, stores, options));
    printHowToRead();
  } finally {
    await stop();
  }
}
