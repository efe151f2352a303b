import { buildSync } from 'esbuild';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * What a script prints that has the sources at hand, in a process of its own with `gc()`, which has to end by itself.
 *
 * @throws when it ends with an error, or not within 20 seconds
 */
export async function runScript(contents: string): Promise<string> {
  const resolveDir = fileURLToPath(new URL('../..', import.meta.url));
  // Not `build`, whose service process outlives the tests.
  const { outputFiles } = buildSync({
    stdin: { contents, resolveDir, loader: 'ts' },
    bundle: true,
    packages: 'external',
    write: false,
    platform: 'node',
    format: 'esm',
  });
  const args = ['--expose-gc', '--input-type=module', '--eval', outputFiles[0]!.text];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: resolveDir, timeout: 20_000 });
  return stdout.trim();
}
