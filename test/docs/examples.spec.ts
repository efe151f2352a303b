import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import config from '../../jest.config.js';
import { SECRET_KEY } from '../support/apps.js';
import { typeFaults } from '../support/type-checker.js';
import { Examples, isTest, OUTSIDE_OF_JEST } from './examples.js';
import { allPages, root, type Page } from './pages.js';

const blocks = allPages().flatMap((page) => page.blocks.map((block) => ({ page: page.path, ...block })));
const named = blocks.flatMap(({ page, file }) => (file === null ? [] : [{ page, file }]));

describe('the examples of the pages', () => {
  let examples: Examples;

  beforeAll(() => {
    process.env.SESSION_SECRET = SECRET_KEY;
    process.env.REDIS_URL = 'redis://127.0.0.1:1';
    examples = new Examples();
  });

  afterAll(() => examples.remove());

  it('are all of their TypeScript, each under a name of its own', () => {
    const typescript = blocks.filter(({ language }) => /^(ts|typescript)$/.test(language));
    expect(typescript.filter(({ file }) => file === null).map(({ page, code }) => `${page}: ${code}`)).toEqual([]);
    const names = named.map(({ page, file }) => `${page} ${file}`);
    expect(names).toEqual([...new Set(names)]);
    expect(names.length).toBeGreaterThan(8);
    const ways = new Set(blocks.map(({ language }) => language));
    expect(ways).toEqual(
      new Set([...ways].filter((way) => ['ts', 'sh', 'text', 'http', 'json', 'js', 'html'].includes(way))),
    );
  });

  it('compile, and need no types that another page declares', () => {
    const declares = (page: Page) => page.blocks.some(({ code }) => code.includes('declare module'));
    const alone = examples.pages.filter(declares).map((page) => [page]);
    const together = examples.pages.filter((page) => !declares(page));
    const faults = [...alone, together].flatMap((pages) =>
      typeFaults([examples.globals, ...pages.flatMap((page) => examples.filesOf(page))]),
    );
    expect(alone.length).toBeGreaterThan(0);
    expect(faults).toEqual([]);
  }, 180_000);

  it.each(named.filter(({ file }) => !isTest(file) && !OUTSIDE_OF_JEST.includes(file)))(
    'run: $file of $page',
    async ({ page, file }) => {
      const { client } = await examples.load(page, file);
      (client as { disconnect(): void } | undefined)?.disconnect();
    },
  );

  it('import no test runner, because Jest and Vitest have the same global functions', () => {
    const imports = blocks.filter(({ code }) => /from '(@jest\/globals|vitest)'/.test(code));
    expect(imports.map(({ page, file }) => `${page} ${file}`)).toEqual([]);
  });

  it('are tests that pass, where they are tests', () => {
    const tests = named.filter(({ file }) => isTest(file));
    const ofExamples = {
      ...config,
      rootDir: root,
      roots: [examples.folder],
      testMatch: ['**/*.spec.ts', '**/*.e2e-spec.ts'],
      testPathIgnorePatterns: [],
    };
    const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
    const { status, error, stderr } = spawnSync(
      process.execPath,
      [
        '--experimental-vm-modules',
        jest,
        '--config',
        JSON.stringify(ofExamples),
        '--forceExit',
        '--passWithNoTests',
        '--runInBand',
      ],
      { cwd: root, encoding: 'utf8', env: { ...process.env } },
    );
    expect({ status, error, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, error: undefined, stderr: '' });
    if (tests.length > 0) expect(stderr).toContain(`Test Suites: ${tests.length} passed, ${tests.length} total`);
  }, 120_000);
});
