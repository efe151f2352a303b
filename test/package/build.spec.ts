import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

function run(script: string, cwd: string, ...args: string[]): { status: number | null; text: string } {
  const { status, error, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8' });
  if (error) throw error;
  return { status, text: stdout + stderr };
}

const loadJose = readFileSync(join(root, 'src/tokens/load-jose.ts'), 'utf8');
const SOURCES = {
  'index.ts': 'export const answer: number = 42;\n',
  'other.ts': 'export const other: number = 1;\n',
  'marked.ts': 'export class Shown {\n  /** @internal */\n  static hidden = 1;\n  readonly shown: number = 2;\n}\n',
  'optional.ts': "export const load = (): Promise<object> => import('jose');\n",
  'loader.ts': `${loadJose.replace(/^import .*$/m, '')}
const messageOf = (error: unknown): string => String(error);
void loadJose().catch((error: Error) => console.log(error.message));
`,
};

describe('the build, in a package of a few files', () => {
  let folder: string;
  const written = (file: string) => existsSync(join(folder, file));
  const build = (...args: string[]) => run(join(folder, '.ci/build.mjs'), folder, ...args);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sessionx-test-'));
    for (const name of ['.ci/build.mjs', 'tsconfig.json', 'tsconfig.build.json'])
      cpSync(join(root, name), join(folder, name));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    mkdirSync(join(folder, 'src'));
    for (const [name, code] of Object.entries(SOURCES)) writeFileSync(join(folder, 'src', name), code);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('says that it builds, and builds only what has changed since', () => {
    expect(build('--if-changed')).toEqual({
      status: 0,
      text: expect.stringMatching(/^Building the library/) as unknown,
    });
    for (const half of ['esm', 'cjs']) {
      expect(written(`dist/${half}/index.js`) && written(`dist/${half}/index.d.ts`)).toBe(true);
      expect(written(`dist/${half}/index.js.map`)).toBe(false);
    }
    expect(build('--if-changed')).toEqual({ status: 0, text: 'The library in dist/ is up to date.\n' });

    mkdirSync(join(folder, 'dist/sample'));
    rmSync(join(folder, 'src/other.ts'));
    expect(build('--if-changed').text).toMatch(/^Building/);
    expect([written('dist/esm/index.js'), written('dist/esm/other.js'), written('dist/sample')]).toEqual([
      true,
      false,
      true,
    ]);
    expect(readFileSync(join(folder, 'dist/cjs/package.json'), 'utf8')).toBe('{ "type": "commonjs" }\n');
  }, 240_000);

  it('declares nothing that is marked as internal', () => {
    const declared = readFileSync(join(folder, 'dist/esm/marked.d.ts'), 'utf8');
    expect(declared).toContain('readonly shown: number;');
    expect(declared).not.toContain('hidden');
  });

  it('loads an optional package where ES modules cannot be required too', () => {
    expect(readFileSync(join(folder, 'dist/esm/optional.js'), 'utf8')).toContain("import('jose')");
    expect(readFileSync(join(folder, 'dist/cjs/optional.js'), 'utf8')).toMatch(/require\('jose'\).*import\('jose'\)/);
  });

  it('can be bundled where an optional package is not installed, and says so when it is needed', () => {
    for (const [half, extension] of [
      ['esm', 'mjs'],
      ['cjs', 'cjs'],
    ] as const) {
      // Apart from the project, whose node_modules have it.
      const apart = mkdtempSync(join(tmpdir(), 'sessionx-test-'));
      const [entry, bundle] = [join(apart, 'index.js'), join(apart, `bundle.${extension}`)];
      cpSync(join(folder, 'dist', half, 'loader.js'), entry);
      const options = ['--bundle', '--platform=node', `--format=${half}`, '--log-level=error', `--outfile=${bundle}`];
      const bundled = spawnSync(join(root, 'node_modules/.bin/esbuild'), [entry, ...options], { encoding: 'utf8' });
      expect([bundled.status, bundled.stderr]).toEqual([0, '']);
      expect(run(bundle, apart).text).toContain('needs the package jose, which is not installed');
      rmSync(apart, { recursive: true, force: true });
    }
  });

  it('always builds unless told otherwise, and tries again after a build that failed', () => {
    expect(build()).toEqual({ status: 0, text: expect.stringMatching(/^Building/) as unknown });
    writeFileSync(join(folder, 'src/index.ts'), 'export const answer: number = "42";\n');
    for (let round = 0; round < 2; round++) {
      const { status, text } = build('--if-changed');
      expect(status).toBe(1);
      expect(text).toMatch(/^Building[^]*TS2322/);
    }
  }, 240_000);
});

describe('the check before a release', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sessionx-test-'));

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const check = (manifest: object) => {
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    return run(join(root, '.ci/release-check.mjs'), folder);
  };

  const COMPLETE = {
    repository: { type: 'git', url: 'git+https://code.sessionx.org/sessionx.git' },
    homepage: 'https://sessionx.org/docs',
    bugs: { url: 'https://code.sessionx.org/sessionx/issues' },
  };

  it.each(['repository', 'homepage', 'bugs'])('names what only the publisher knows: %s', (field) => {
    for (const value of [
      undefined,
      '',
      'TODO',
      'https://example.com/x',
      'https://localhost/x',
      { url: 'https://x.test' },
    ]) {
      const { status, text } = check({ ...COMPLETE, [field]: value });
      expect(status).toBe(1);
      expect(text).toMatch(/not ready to be published/);
      expect(text.match(/^- (\w+):/gm)).toEqual([`- ${field}:`]);
    }
  });

  it('passes a manifest that has it all', () => {
    expect(check(COMPLETE)).toEqual({ status: 0, text: '' });
    expect(
      check({ ...COMPLETE, repository: 'github:sessionx/sessionx', bugs: { email: 'bugs@sessionx.org' } }).status,
    ).toBe(0);
  });

  it('runs before each publication', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts.prepublishOnly).toBe('node .ci/release-check.mjs');
  });
});
