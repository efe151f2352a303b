import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

const AT_THE_ROOT = [
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
  'README.zh-TW.md',
  'SECURITY.md',
  'package.json',
];
// A package.json marks each half as what it is. No name begins with a dot.
const IN_DIST = /^dist\/(?:esm|cjs)\/(?:package\.json|(?:[\w-][\w.-]*\/)*[\w-][\w.-]*\.(?:js|d\.ts))$/;
const IN_DOCS = /^docs\/(?:[\w-]+\/)*[\w-]+\.md$/;

/** Nothing is published that is not meant to be, and nothing is missing. */
export function checkContents({ tarball, content, repository }) {
  const files = filesBelow(content);
  const unwanted = files.filter((file) => !AT_THE_ROOT.includes(file) && !IN_DIST.test(file) && !IN_DOCS.test(file));
  const missing = AT_THE_ROOT.filter((file) => !files.includes(file));
  const local = files.filter((file) => readFileSync(join(content, file), 'utf8').includes(repository));
  const faults = [
    ...unwanted.map((file) => `${file} is not wanted`),
    ...missing.map((file) => `${file} is missing`),
    ...local.map((file) => `${file} names a folder of this machine`),
  ];
  if (faults.length > 0) throw new Error(faults.join('\n'));

  const sizes = files.map((file) => statSync(join(content, file)).size);
  const unpacked = sizes.reduce((sum, size) => sum + size, 0);
  console.log(
    `     ${inKilobytes(statSync(tarball).size)}, unpacked ${inKilobytes(unpacked)} in ${files.length} files`,
  );
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'));
}

function inKilobytes(bytes) {
  return `${(bytes / 1000).toFixed(0)} kB`;
}
