// No driver is installed: every entry but theirs loads nevertheless, each as the first thing that a process loads, and who uses theirs is
// told what is missing. The entries with their drivers are on the command line, as JSON.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const drivers = JSON.parse(process.argv[2]);
const { name, exports } = require('nestjs-sessionx/package.json');

for (const driver of Object.values(drivers)) {
  assert.throws(() => require.resolve(driver), `${driver} is installed, so this would tell nothing`);
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
