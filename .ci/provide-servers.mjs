// Sees to it that the servers, and the browser, which the tests start are on this machine: found on the PATH, else from Debian's packages.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const PROGRAMS = [
  { command: 'redis-server', package: 'redis-server' },
  { command: 'memcached', package: 'memcached' },
  { command: 'chromium', package: 'chromium' },
];

const missing = PROGRAMS.filter(({ command }) => !isOnPath(command));
if (missing.length > 0) install(missing.map((program) => program.package));
const still = PROGRAMS.filter(({ command }) => !isOnPath(command));
if (still.length > 0) {
  const names = still.map(({ command }) => command).join(', ');
  console.error(`The tests run real servers and a real browser, and these are missing: ${names}.`);
  console.error(
    `Install them, on Debian or Ubuntu by: sudo apt-get install ${still.map((program) => program.package).join(' ')}`,
  );
  process.exitCode = 1;
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function install(packages) {
  if (!isOnPath('apt-get')) return;
  const sudo = process.getuid?.() === 0 ? [] : isOnPath('sudo') ? ['sudo', '-n'] : undefined;
  if (sudo === undefined) return;
  console.log(`Installing ${packages.join(', ')} from Debian's packages.`);
  // A package's own service is not wanted: the tests start their servers on ports of their own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const apt = (...args) => {
    const [program, ...rest] = [...sudo, 'apt-get', ...args];
    return spawnSync(program, rest, { stdio: ['ignore', 'inherit', 'inherit'], env }).status === 0;
  };
  if (!apt('install', '-y', '--no-install-recommends', ...packages)) {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  }
}
