import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { driversOf, LOADED_FOR_OPTIONS, packagesOf } from './drivers.mjs';
import { npmInstall } from './npm.mjs';
import { run } from './run.mjs';

const CONSUMER = fileURLToPath(new URL('consumer', import.meta.url));
const COMPILER = fileURLToPath(new URL('compile.mjs', import.meta.url));

/** Each half is tried alone first, and then beside the other one. */
const WAYS = [
  { name: 'import, then require', by: ['import', 'require'] },
  { name: 'require, then import', by: ['require', 'import'] },
];

/** As on AWS Lambda: then `module-sync` does not count either, and the CommonJS half is what runs. */
const WITHOUT_REQUIRE_ESM = {
  name: 'require, where ES modules cannot be required',
  by: ['require'],
  flags: ['--no-experimental-require-module'],
};

/** The applications that the package is for. Nest 12 is ES modules itself, so where these cannot be required it cannot be either. */
export const KINDS = [
  {
    name: 'Nest 11, CommonJS',
    // The oldest that the package is for.
    nest: '11.1.4',
    olderDrivers: { ioredis: '~5.11.0' },
    type: 'commonjs',
    ways: [...WAYS, WITHOUT_REQUIRE_ESM],
    jest: true,
  },
  { name: 'Nest 12, ES modules', nest: '^12.0.0', type: 'module', ways: WAYS, jest: false },
];

/** An application in a folder of its own, made of what is in `consumer` and of packages from the registry. */
export class Application {
  #folder;
  #manifest;
  #drivers;

  constructor(folder, manifest) {
    this.#folder = folder;
    this.#manifest = manifest;
    this.#drivers = driversOf(manifest);
  }

  async install({ nest, type }, tarball) {
    const dependencies = {
      ...this.#manifest.peerDependencies,
      '@nestjs/common': nest,
      '@nestjs/core': nest,
      '@nestjs/platform-express': nest,
      '@nestjs/platform-fastify': nest,
      '@types/node': this.#manifest.devDependencies['@types/node'],
      [this.#manifest.name]: `file:${tarball}`,
    };
    for (const name of this.#optional) delete dependencies[name];
    mkdirSync(this.#folder);
    this.#writeJson('package.json', { name: 'application', private: true, type, dependencies });
    cpSync(join(CONSUMER, 'scripts'), this.#folder, { recursive: true });
    this.#addHalf('cjs', 'commonjs');
    this.#addHalf('esm', 'module');
    await npmInstall(this.#folder);
  }

  async tryWithoutDrivers() {
    await this.#run(process.execPath, 'without-drivers.mjs', JSON.stringify(this.#drivers), ...LOADED_FOR_OPTIONS);
  }

  async addDrivers({ nest, olderDrivers }) {
    const peerDependencies = { ...this.#manifest.peerDependencies, ...olderDrivers };
    await npmInstall(this.#folder, ...packagesOf(this.#optional, { peerDependencies }, nest));
  }

  async compile() {
    await this.#run(process.execPath, COMPILER);
  }

  async try(node, { by, flags = [] }) {
    await this.#run(node, ...flags, 'try.mjs', ...by);
  }

  /** By the repository's Jest, with its defaults: a project that knows nothing of ES modules. */
  async tryInJest(repository) {
    const jest = join(repository, 'node_modules/jest/bin/jest.js');
    await this.#run(process.execPath, jest, '--config', 'jest.config.json');
  }

  get #optional() {
    return [...Object.values(this.#drivers), ...LOADED_FOR_OPTIONS];
  }

  #addHalf(half, type) {
    cpSync(join(CONSUMER, 'src'), join(this.#folder, half), { recursive: true });
    this.#writeJson(join(half, 'package.json'), { type });
    // So that the types of every entry are looked at, also of one that the sources do not use.
    const { exports, name } = this.#manifest;
    const entries = Object.keys(exports).filter((subpath) => subpath !== './package.json');
    const lines = entries.map((subpath, i) => `export type * as entry${i} from '${subpath.replace('.', name)}';\n`);
    writeFileSync(join(this.#folder, half, 'entries.ts'), lines.join(''));
  }

  #writeJson(path, value) {
    writeFileSync(join(this.#folder, path), `${JSON.stringify(value, null, 2)}\n`);
  }

  #run(node, ...args) {
    return run(node, args, { cwd: this.#folder });
  }
}
