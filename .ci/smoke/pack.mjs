import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { run } from './run.mjs';

/** Packs the repository, which builds it first (`prepack`), and unpacks the result beside. */
export async function packAndUnpack(repository, folder) {
  const printed = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: repository });
  const tarball = join(folder, printed.trim().split('\n').at(-1));
  const unpacked = join(folder, 'unpacked');
  mkdirSync(unpacked);
  await run('tar', ['-xzf', tarball, '-C', unpacked]);
  // npm packs everything below a folder of this name.
  const content = join(unpacked, 'package');
  return { tarball, content, repository, manifest: JSON.parse(readFileSync(join(content, 'package.json'), 'utf8')) };
}
