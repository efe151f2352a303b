// Builds the package twice, as ES modules and as CommonJS, and marks each half as what it is. With --if-changed only when the sources are not
// those of the last build.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const stamp = join(root, 'dist/.built-from');
const HALVES = [
  { name: 'esm', type: 'module', options: [] },
  {
    name: 'cjs',
    type: 'commonjs',
    // The types are checked once.
    options: ['--module', 'commonjs', '--moduleResolution', 'bundler', '--outDir', 'dist/cjs', '--noCheck'],
  },
];

const REQUIRED_LATER = /Promise\.resolve\(\)\.then\(\(\) => __importStar\(require\(('[^'.][^']*')\)\)\)/g;

const sources = hashOfSources();
if (process.argv.includes('--if-changed') && isBuiltFrom(sources)) {
  console.log('The library in dist/ is up to date.');
} else {
  console.log('Building the library into dist/, which takes a while …');
  // Other outputs in dist/, such as those of the samples, stay.
  for (const { name } of HALVES) rmSync(join(root, 'dist', name), { recursive: true, force: true });
  rmSync(stamp, { force: true });
  const results = await Promise.all(HALVES.map(compile));
  if (results.every((code) => code === 0)) writeFileSync(stamp, sources);
  else process.exitCode = 1;
}

async function compile({ name, type, options }) {
  const compiler = spawn(process.execPath, [tsc, '-p', 'tsconfig.build.json', ...options], {
    cwd: root,
    stdio: 'inherit',
  });
  const [code] = await once(compiler, 'exit');
  if (code !== 0) return code;
  if (type === 'commonjs') keepDynamicImports(join(root, 'dist', name));
  writeFileSync(join(root, 'dist', name, 'package.json'), `{ "type": "${type}" }\n`);
  return code;
}

/**
 * The compiler turns `import('x')` into `require('x')`, which fails for a package of ES modules where these cannot be required: on AWS
 * Lambda, and in Node's option of that name. There the import itself works. It is not the first choice, because Jest has none in CommonJS.
 *
 * Both in a form that lets bundlers go on where an optional package is not installed: directly in `try`, or with a `catch()` of its own.
 */
function keepDynamicImports(folder) {
  for (const name of readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.js'))) {
    const file = join(folder, name);
    const code = readFileSync(file, 'utf8');
    const kept = code.replace(REQUIRED_LATER, (_, module) => requiredOrImported(module));
    if (kept !== code) writeFileSync(file, kept);
  }
}

function requiredOrImported(module) {
  const imported = `import(${module}).catch((error) => { throw error; })`;
  return `(async () => { try { return __importStar(require(${module})); } catch { return ${imported}; } })()`;
}

function isBuiltFrom(hash) {
  if (!HALVES.every(({ name }) => existsSync(join(root, 'dist', name, 'package.json')))) return false;
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
}

/** Of all that decides about the output: names too, as a file may go. */
function hashOfSources() {
  const below = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true });
  const files = below.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const others = ['tsconfig.json', 'tsconfig.build.json', '.ci/build.mjs', 'node_modules/typescript/package.json'];
  const hash = createHash('sha256');
  for (const file of [...files.sort(), ...others.map((name) => join(root, name))])
    hash.update(`${file}\0`).update(readFileSync(file));
  return hash.digest('hex');
}
