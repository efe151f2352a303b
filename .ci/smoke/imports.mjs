import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';

import ts from 'typescript';

import { driversOf } from './drivers.mjs';

/** What every application has. Types need no more than this, so that a reader of them needs no more either. */
const IN_TYPES = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];

/** Follows the imports from each entry, and checks that they lead nowhere but to files of the package and to packages that users have. */
export function checkImports({ content, manifest }) {
  const drivers = driversOf(manifest);
  const peers = Object.keys(manifest.peerDependencies).filter((name) => !Object.values(drivers).includes(name));
  const inCode = [...Object.keys(manifest.dependencies), ...peers];
  const faults = Object.entries(manifest.exports)
    .filter(([entry]) => entry !== './package.json')
    .flatMap(([entry, conditions]) =>
      targetsOf(conditions).flatMap((target) => {
        const allowed = target.endsWith('.d.ts') ? IN_TYPES : inCode;
        return faultsBelow(join(content, target), content, [...allowed, drivers[entry]]);
      }),
    );
  if (faults.length > 0) throw new Error([...new Set(faults)].join('\n'));
}

function targetsOf(conditions) {
  return typeof conditions === 'string' ? [conditions] : Object.values(conditions).flatMap(targetsOf);
}

function faultsBelow(entry, content, allowed) {
  if (!existsSync(entry)) return [`${relative(content, entry)} is an entry, and not in the package`];
  const faults = [];
  const files = new Set([entry]);
  // A set also goes through what is added on the way.
  for (const file of files) {
    for (const name of importsOf(file)) {
      if (name.startsWith('.')) {
        const target = join(dirname(file), file.endsWith('.d.ts') ? name.replace(/\.js$/, '.d.ts') : name);
        if (existsSync(target)) files.add(target);
        else faults.push(`${relative(content, file)} imports ${name}, which is not in the package`);
      } else if (!isAllowed(name, allowed)) {
        faults.push(`${relative(content, file)}, which ${relative(content, entry)} leads to, imports ${name}`);
      }
    }
  }
  return faults;
}

function isAllowed(name, allowed) {
  return (name.startsWith('node:') && isBuiltin(name)) || allowed.includes(name);
}

/** Static and dynamic imports, re-exports, `require`, types by `import('…')`, and `/// <reference>`. */
function importsOf(file) {
  const { importedFiles, referencedFiles, typeReferenceDirectives } = ts.preProcessFile(
    readFileSync(file, 'utf8'),
    true,
    !file.endsWith('.d.ts'),
  );
  return [...importedFiles, ...referencedFiles, ...typeReferenceDirectives].map(({ fileName }) => fileName);
}
