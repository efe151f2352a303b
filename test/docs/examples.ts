import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { allPages, root, type Page } from './pages.js';

/** The global functions that examples of tests use. Jest and Vitest have them under the same names. */
const TEST_GLOBALS = ['afterAll', 'afterEach', 'beforeAll', 'beforeEach', 'describe', 'expect', 'it'];

/** The TypeScript of all pages, written into files of a folder of its own: `docs/options.md` into `docs/options/`. */
export class Examples {
  readonly folder: string;
  /** Declares the global functions of tests, for the compiler. */
  readonly globals: string;
  readonly pages: readonly Page[] = allPages();

  constructor() {
    const output = join(root, 'test', 'output');
    mkdirSync(output, { recursive: true });
    this.folder = mkdtempSync(join(output, 'docs-'));
    this.globals = join(this.folder, 'test-globals.d.ts');
    const declarations = TEST_GLOBALS.map((name) => `const ${name}: typeof jest.${name};`).join('\n');
    this.#write(this.globals, `import type * as jest from '@jest/globals';\ndeclare global {\n${declarations}\n}\n`);
    for (const page of this.pages) {
      for (const { file, code } of page.blocks) {
        if (file !== null) this.#write(this.pathOf(page.path, file), code);
      }
    }
  }

  pathOf(page: string, file: string): string {
    return join(this.folder, page.replace(/\.md$/, ''), file);
  }

  filesOf({ path, blocks }: Page): string[] {
    return blocks.flatMap(({ file }) => (file === null ? [] : [this.pathOf(path, file)]));
  }

  /** The example as a module that runs here. */
  async load(page: string, file: string): Promise<Record<string, unknown>> {
    return (await import(this.pathOf(page, file))) as Record<string, unknown>;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #write(path: string, code: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
  }
}

/** CommonJS packages that require Nest, which Jest cannot load on every version of Node: a process of their own runs these. */
export const OUTSIDE_OF_JEST: readonly string[] = ['user-throttler.guard.ts'];

/** Tests, which a Jest of their own runs. */
export function isTest(file: string): boolean {
  return /\.(?:e2e-)?spec\.ts$/.test(file);
}
