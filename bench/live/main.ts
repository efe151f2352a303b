import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generateSecretKey } from 'nestjs-sessionx';

import { RedisServer } from '../support/redis-server.js';
import { table, whole } from '../support/table.js';
import { LiveServer } from './server.js';
import { Streams } from './streams.js';

const WARM_UP = 200;
const MS_PER_MINUTE = 60_000;

const USAGE = `npm run bench -- live [options]
  --connections <n>   server-sent events, each of another session of one user; default 10000
  --idle <s>          seconds for which commands are counted while nothing happens; default 30`;

const HOW_TO_READ = `\
How to read: two processes, Fastify, Redis. "bytes" are heap of the serving process for each connection, all of Node, Nest and the platform
included; "plain" is the same without @EndsWithSession(). "commands a minute" are all that Redis counted while nothing happened. "to end all" is the
time from the log out everywhere, in the other process, until the last client has its last event.`;

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    idle: { type: 'string', default: '30' },
    help: { type: 'boolean', default: false },
  },
});
const [connections, idleS] = [values.connections, values.idle].map(Number) as [number, number];

if (values.help || !(connections >= 1) || !(idleS >= 1)) {
  console.log(USAGE);
  process.exitCode = values.help ? 0 : 1;
} else {
  await run();
}

async function run(): Promise<void> {
  console.log(`Node ${process.version}, ${cpus()[0]!.model}`);
  const redis = await RedisServer.start();
  try {
    const plain = await measure(redis, 'plain');
    const watched = await measure(redis, 'watched');
    const header = ['connections', 'bytes', 'plain', 'for the watch', 'commands a minute', 'plain', 'to end all'];
    const row = [
      whole(connections),
      whole(watched.bytes),
      whole(plain.bytes),
      whole(watched.bytes - plain.bytes),
      whole(watched.commandsPerMinute),
      whole(plain.commandsPerMinute),
      `${whole(watched.endMs)} ms`,
    ];
    console.log(`\n${table(header, [row])}\n\n${HOW_TO_READ}`);
  } finally {
    await redis.stop();
  }
}

interface Measured {
  readonly bytes: number;
  readonly commandsPerMinute: number;
  readonly endMs: number;
}

async function measure(redis: RedisServer, path: 'plain' | 'watched'): Promise<Measured> {
  const key = generateSecretKey();
  const [server, other] = await Promise.all([LiveServer.start(redis.url, key), LiveServer.start(redis.url, key)]);
  const streams = new Streams();
  try {
    await streams.open(server.port, path, await server.open(WARM_UP));
    const tokens = await server.open(connections);
    const before = await server.bytes();
    await streams.open(server.port, path, tokens);
    const bytes = ((await server.bytes()) - before) / connections;
    const commandsPerMinute = await idleCommands(redis);
    const startedAt = performance.now();
    await other.end();
    if (path === 'watched') await streams.ended();
    return { bytes, commandsPerMinute, endMs: performance.now() - startedAt };
  } finally {
    streams.close();
    await Promise.all([server.stop(), other.stop()]);
  }
}

async function idleCommands(redis: RedisServer): Promise<number> {
  const before = await redis.totalCalls();
  await sleep(idleS * 1000);
  return (((await redis.totalCalls()) - before) * MS_PER_MINUTE) / (idleS * 1000);
}
