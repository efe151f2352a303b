import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { buildSync } from 'esbuild';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Opens a MemoryBackend twice, in a worker of a cluster if the environment says so, and prints what it logs. */
const SCRIPT = `
  import cluster from 'node:cluster';
  import { MemoryBackend } from './src/backends/memory/memory.backend.js';

  if (process.env.FORKS === 'yes' && cluster.isPrimary) cluster.fork();
  else {
    const backend = new MemoryBackend();
    const logger = { log: () => {}, warn: (line: string) => console.log(line), error: () => {} };
    const clock = { now: () => Date.now() };
    await backend.open({ keyPrefix: 'session:', timeoutMs: 1000, clock, logger });
    await backend.close();
    if (cluster.isWorker) process.disconnect();
  }
`;

describe('the notice of a store in memory when it is opened', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sessionx-test-'));
  const file = join(folder, 'open.mjs');

  beforeAll(() => {
    buildSync({
      stdin: { contents: SCRIPT, resolveDir: join(import.meta.dirname, '..', '..'), loader: 'ts' },
      bundle: true,
      outfile: file,
      platform: 'node',
      format: 'esm',
    });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const SHARED = /^Sessions are in the memory of this process, which seems to be one of several: .*RedisBackend.*\n$/;
  const PRODUCTION = /^Sessions are in the memory of this process: a restart ends them.*\n$/;

  it.each([
    { environment: 'a process of its own', env: {}, output: /^$/ },
    { environment: 'an empty NODE_APP_INSTANCE', env: { NODE_APP_INSTANCE: '' }, output: /^$/ },
    { environment: 'production', env: { NODE_ENV: 'production' }, output: PRODUCTION },
    { environment: 'one of the processes of PM2', env: { NODE_APP_INSTANCE: '1' }, output: SHARED },
    { environment: 'PM2 in production', env: { NODE_ENV: 'production', NODE_APP_INSTANCE: '0' }, output: SHARED },
    { environment: 'a worker of a cluster', env: { FORKS: 'yes' }, output: SHARED },
    { environment: 'a cluster in production', env: { FORKS: 'yes', NODE_ENV: 'production' }, output: SHARED },
  ])('in $environment: one line at most', async ({ env, output }) => {
    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      env: { PATH: process.env.PATH, ...env },
      timeout: 20_000,
    });
    expect(stdout).toMatch(output);
  });
});
