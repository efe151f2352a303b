// Tries the package as its users get it: packs the tarball, looks into it, and installs it into applications of their kinds.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Application, KINDS } from './smoke/application.mjs';
import { checkContents } from './smoke/contents.mjs';
import { checkDocComments } from './smoke/doc-comments.mjs';
import { checkImports } from './smoke/imports.mjs';
import { lintPackage, lintTypes } from './smoke/linters.mjs';
import { installNode, otherNodeMajors } from './smoke/node-versions.mjs';
import { packAndUnpack } from './smoke/pack.mjs';
import { Report } from './smoke/report.mjs';
import { temporaryFolder } from './smoke/temporary-folder.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const folder = temporaryFolder();
const report = new Report();

const packed = report.step('npm pack', [], () => packAndUnpack(repository, folder));
const nodes = [
  { name: `Node ${process.versions.node}`, path: Promise.resolve(process.execPath) },
  ...otherNodeMajors().map((major) => ({
    name: `Node ${major}`,
    path: report.step(`Node ${major}: npm install`, [], () => installNode(major, folder)),
  })),
];

for (const kind of KINDS) {
  const { name } = kind;
  const bare = report.step(`${name}: npm install`, [packed], async ({ tarball, manifest }) => {
    const app = new Application(join(folder, kind.type), manifest);
    await app.install(kind, tarball);
    return app;
  });
  const tried = report.step(`${name}: works without drivers`, [bare], (app) => app.tryWithoutDrivers());
  const whole = report.step(`${name}: compiles against the published types`, [bare, tried], async (app) => {
    await app.addDrivers(kind);
    await app.compile();
    return app;
  });
  if (kind.jest) report.step(`${name}: in Jest`, [whole], (app) => app.tryInJest(repository));
  for (const { name: nodeName, path } of nodes) {
    for (const way of kind.ways) {
      report.step(`${name}, ${nodeName}: ${way.name}`, [whole, path], (app, node) => app.try(node, way));
    }
  }
}

report.step('the tarball holds what it should', [packed], checkContents);
report.step('publint', [packed], lintPackage);
report.step('are the types wrong', [packed], (tarball) => lintTypes(tarball, repository));
report.step('imports lead only to what users have', [packed], checkImports);
report.step('doc comments are kept', [packed], checkDocComments);

await report.end();
