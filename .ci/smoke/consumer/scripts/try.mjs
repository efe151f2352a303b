// Loads the package in the ways that are named on the command line, in this order and in one process, and uses what each has loaded.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const load = {
  import: { entry: (name) => import(name), application: (name) => import(`./esm/${name}.js`) },
  require: { entry: async (name) => require(name), application: async (name) => require(`./cjs/${name}.js`) },
};
const ways = process.argv.slice(2);
const { name: packageName, exports } = require('nestjs-sessionx/package.json');
assert.ok(ways.length > 0 && ways.every((way) => way in load));

for (const subpath of Object.keys(exports).filter((each) => each !== './package.json')) {
  const entry = subpath.replace('.', packageName);
  const copies = [];
  for (const way of ways) copies.push(await load[way].entry(entry));
  for (const copy of copies) {
    assert.deepEqual(Object.keys(copy).sort(), Object.keys(copies[0]).sort(), `the exports of ${entry}`);
    for (const name of Object.keys(copy)) {
      assert.ok(copy[name] === copies[0][name], `${entry} has two copies of ${name}, one by import and one by require`);
    }
  }
}

for (const way of ways) {
  const { SessionError, SessionModule, SessionService } = await load[way].entry('nestjs-sessionx');
  for (const exported of [SessionError, SessionModule, SessionService]) assert.equal(typeof exported, 'function');
  const { tryOut } = await load[way].application('try-out');
  await tryOut();
  await tryOut('jwt');
  const { tryDrivers } = await load[way].application('try-drivers');
  await tryDrivers();
}
