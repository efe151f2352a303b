// No driver is installed: every entry but theirs loads nevertheless, each as the first thing that a process loads, and who uses theirs is
// told what is missing. So is who sets an option that needs a package. The entries with their drivers are on the command line, as JSON, and
// the packages of options.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const drivers = JSON.parse(process.argv[2]);
const forOptions = process.argv.slice(3);
const { name, exports } = require('nestjs-sessionx/package.json');

for (const missing of [...Object.values(drivers), ...forOptions]) {
  assert.throws(() => require.resolve(missing), `${missing} is installed, so this would tell nothing`);
}
for (const subpath of Object.keys(exports)) {
  const entry = subpath.replace('.', name);
  if (subpath in drivers) {
    const namesDriver = new RegExp(`'${drivers[subpath]}'`);
    await assert.rejects(import(entry), namesDriver);
    assert.throws(() => require(entry), namesDriver);
  } else if (subpath !== './package.json') {
    execFileSync(process.execPath, ['--input-type=module', '--eval', `await import('${entry}')`]);
    execFileSync(process.execPath, ['--input-type=commonjs', '--eval', `require('${entry}')`]);
  }
}

await import('reflect-metadata');
const { NestFactory } = await import('@nestjs/core');
const start = { logger: false, abortOnError: false };
for (const { generateSecretKey, SessionModule } of [await import(name), require(name)]) {
  const module = SessionModule.forRoot({ secretKey: generateSecretKey(), tokenFormat: 'jwt' });
  await assert.rejects(
    NestFactory.createApplicationContext(module, start),
    /jose, which is not installed.*npm install jose@6/,
  );
}
