// Builds the package twice, as ES modules and as CommonJS, and marks each half as what it is.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));

function compile(...options) {
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', ...options], { cwd: root, stdio: 'inherit' });
}

rmSync(`${root}dist`, { recursive: true, force: true });
compile();
compile('--module', 'commonjs', '--moduleResolution', 'bundler', '--outDir', 'dist/cjs');
writeFileSync(`${root}dist/esm/package.json`, '{ "type": "module" }\n');
writeFileSync(`${root}dist/cjs/package.json`, '{ "type": "commonjs" }\n');
