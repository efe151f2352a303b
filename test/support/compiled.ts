import { transformFileSync, type Options } from '@swc/core';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

import config from '../../jest.config.js';

const root = join(import.meta.dirname, '..', '..');
const testOutput = join(root, 'test', 'output');
const output = join(testOutput, `compiled-${process.env.JEST_WORKER_ID ?? '0'}`);
const [, options] = config.transform?.['^.+\\.ts$'] as [transformer: string, options: Options];
let isComplete = false;

/**
 * Where a file is as JavaScript, for a process of its own. All that it may import is compiled too, once: hooks that compile what a process
 * loads take longer each time.
 */
export function compiled(file: string): string {
  if (!isComplete) {
    rmSync(output, { recursive: true, force: true });
    for (const folder of ['src', 'sample', 'test']) compileFolder(join(root, folder));
    writeManifest();
    isComplete = true;
  }
  // One that a test has written lies apart from the others.
  return compile(file);
}

/**
 * What a script prints as JSON, in a process of its own that Node itself runs: in Jest's a CommonJS package such as @nestjs/throttler cannot
 * require Nest, which is ES modules only, unless Node is 24.9 or later.
 *
 * @throws when it ends with an error, or not within 30 seconds
 */
export async function printedBy(script: string, ...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [compiled(script), ...args], {
    cwd: root,
    timeout: 30_000,
  });
  return JSON.parse(stdout);
}

function compileFolder(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && path !== testOutput) compileFolder(path);
    if (entry.isFile() && !entry.name.endsWith('spec.ts')) compile(path);
  }
}

function compile(file: string): string {
  const target = join(output, relative(root, file)).replace(/\.ts$/, '.js');
  mkdirSync(dirname(target), { recursive: true });
  if (file.endsWith('.ts'))
    writeFileSync(target, transformFileSync(file, { ...options, sourceMaps: false, swcrc: false }).code);
  else cpSync(file, target);
  return target;
}

/** By which the package finds itself, as it does where it is installed. */
function writeManifest(): void {
  const manifest = readFileSync(join(root, 'package.json'), 'utf8');
  writeFileSync(join(output, 'package.json'), manifest.replaceAll('./dist/esm/', './src/'));
}
