// npm run bench -- <name> [options]: builds the package and the benchmarks, then runs one of them.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const BENCHMARKS = {
  cost: 'what one request makes: promises, timers, commands, round trips, bytes, garbage',
  http: 'GET requests with a session, beside bare Nest, express-session and @fastify/session',
  live: 'connections that end with their session: memory, commands while nothing happens, time to end all',
  login: 'logins at once, beside a pipeline of SET, ZADD and EXPIRE, and by how many sessions the user has',
  memory: 'bytes of a session in MemoryBackend, beside a plain Map; a million sessions expired',
  scale: 'read, login, list and log out everywhere among up to a million sessions of others',
  tokens: 'forged, malformed and genuine tokens verified per second, beside the bare HMAC',
};

const root = fileURLToPath(new URL('..', import.meta.url));
const [name, ...options] = process.argv.slice(2);

if (name !== undefined && Object.hasOwn(BENCHMARKS, name)) {
  if (!options.includes('--no-build')) node('.ci/build.mjs');
  // The benchmarks import the package by its name, as an application does, and so need it built first.
  node('node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json');
  start(
    `dist/bench/${name}/main.js`,
    options.filter((option) => option !== '--no-build'),
  );
} else {
  console.error('npm run bench -- <name> [--help] [--no-build]\n');
  for (const [known, what] of Object.entries(BENCHMARKS)) console.error(`  ${known.padEnd(8)} ${what}`);
  process.exitCode = 1;
}

function node(script, ...args) {
  execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
}

function start(script, args) {
  const [command, ...before] = [...onOneCpu(), process.execPath];
  const child = spawn(command, [...before, script, ...args], { cwd: root, stdio: 'inherit' });
  // A terminal sends Ctrl+C to the benchmark too, which stops its servers; this process waits for it.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}

/**
 * To wake a process on another CPU takes several times as long as a read. Which of several servers shares the CPU of the client is chance, and it
 * would be all that the numbers show.
 */
function onOneCpu() {
  const taskset = '/usr/bin/taskset';
  return name === 'scale' && existsSync(taskset) ? [taskset, '-c', '0'] : [];
}
