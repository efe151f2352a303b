import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { transform } from '@swc/core';

const LIBRARY = new URL('../../src/', import.meta.url);
const ENTRY_POINT = /^nestjs-sessionx(?:\/(\w+))?$/;

export function resolve(specifier, context, nextResolve) {
  const source = sourceOf(specifier, context.parentURL);
  return source === undefined
    ? nextResolve(specifier, context)
    : { url: source.href, format: 'module', shortCircuit: true };
}

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts')) return nextLoad(url, context);
  const filename = fileURLToPath(url);
  const { code } = await transform(await readFile(filename, 'utf8'), {
    filename,
    sourceMaps: 'inline',
    module: { type: 'es6' },
    jsc: {
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true },
      target: 'es2022',
      keepClassNames: true,
    },
  });
  return { format: 'module', source: code, shortCircuit: true };
}

function sourceOf(specifier, parentUrl) {
  const entryPoint = ENTRY_POINT.exec(specifier);
  const candidates =
    entryPoint !== null
      ? [new URL(`${entryPoint[1] ?? 'index'}.ts`, LIBRARY), new URL(`${entryPoint[1]}/index.ts`, LIBRARY)]
      : specifier.startsWith('.') && parentUrl?.endsWith('.ts')
        ? [new URL(specifier.replace(/\.js$/, '.ts'), parentUrl)]
        : [];
  return candidates.find((candidate) => existsSync(candidate));
}
