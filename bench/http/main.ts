import { cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { RedisServer } from '../support/redis-server.js';
import { PLATFORMS } from './apps/app-definition.js';
import { measure } from './measurement.js';
import { printHowToRead, printReport } from './report.js';

const USAGE = `npm run bench -- http [options]
  --platform <name>     express or fastify; default both
  --rounds <n>          bursts of each variant; default 8
  --seconds <n>         length of a burst; default 0.6
  --connections <n>     each with one request under way and a session of its own; default 32
  --only <names>        variants, by commas: bare, unused, limit, shape, redis, memory, peer, peer-rolling
  --profile <folder>    leaves a CPU profile of each server there; the figures are worth less then`;

const { values } = parseArgs({
  options: {
    platform: { type: 'string' },
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '0.6' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const platforms = PLATFORMS.filter((platform) => values.platform === undefined || values.platform === platform);
const [rounds, seconds, connections] = [values.rounds, values.seconds, values.connections].map(Number) as [
  number,
  number,
  number,
];

if (values.help || platforms.length === 0 || !(rounds >= 1) || !(seconds > 0) || !(connections >= 1)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  const { model } = cpus()[0]!;
  console.log(
    `Node ${process.version}, ${cpus().length} x ${model}; ${rounds} rounds of ${seconds} s, ${connections} connections`,
  );
  const redis = await RedisServer.start();
  // Servers and load leave by themselves when this process does; Redis has to be told.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void redis.stop().then(() => process.exit(1)));
  }
  try {
    for (const platform of platforms) {
      const options = { rounds, seconds, connections, only: values.only?.split(','), profileFolder: values.profile };
      printReport(platform, await measure(platform, redis, options));
    }
    printHowToRead();
  } finally {
    await redis.stop();
  }
}
