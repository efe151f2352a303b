import { join } from 'node:path';

import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

import { run } from './run.mjs';

export async function lintPackage({ content, manifest }) {
  // Not packed again: all that is in this folder is published, and nothing else.
  const { messages } = await publint({ pkgDir: content, pack: false, strict: true });
  if (messages.length > 0) throw new Error(messages.map((message) => formatMessage(message, manifest)).join('\n'));
}

/**
 * All entry points in all resolution modes. Also in TypeScript's oldest, `node10`, which `"module": "commonjs"` stands for in the
 * tsconfig.json of most Nest 11 applications. It does not read `exports`: the main entry has `types` for it, the others `typesVersions`.
 */
export async function lintTypes({ tarball }, repository) {
  const attw = join(repository, 'node_modules/@arethetypeswrong/cli/dist/index.js');
  await run(process.execPath, [
    attw,
    tarball,
    '--no-definitely-typed',
    '--format',
    'ascii',
    '--no-color',
    '--no-emoji',
  ]);
}
