import { describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { allPages, readPage, root, translationOf, type Page } from './pages.js';
import { titlesIn } from './source.js';

const TEST = /`((?:test|sample|src)\/[\w/.-]+\.ts)` › \*([^*\n]+)\*/g;

interface Named {
  readonly path: string;
  readonly title: string;
}

function testsNamedIn({ text }: Page): Named[] {
  return [...text.matchAll(TEST)].map(([, path, title]) => ({ path: path!, title: title! }));
}

describe('what the pages promise', () => {
  it('is held by tests that exist under the names given', () => {
    const named = allPages().flatMap((page) => testsNamedIn(page).map((test) => ({ page: page.path, ...test })));
    const wrong = named.filter(({ path, title }) => !existsSync(join(root, path)) || !titlesIn(path).includes(title));
    expect(wrong).toEqual([]);
    expect(named.length).toBeGreaterThan(40);
  });

  it('names a test in each row of the page of promises', () => {
    const { tables } = readPage('docs/promises.md');
    const rows = tables.flatMap((table) => table.rows);
    const without = rows.filter((row) => !row.some((cell) => new RegExp(TEST).test(cell)));
    expect(without).toEqual([]);
    expect(rows.length).toBeGreaterThan(30);
  });

  it('names a test in each row of the comparison with other packages', () => {
    for (const path of ['README.md', translationOf('README.md')]) {
      const [comparison] = readPage(path).tables;
      expect(comparison!.rows.length).toBeGreaterThan(3);
      for (const row of comparison!.rows) expect(row.at(-1)).toMatch(new RegExp(TEST));
    }
  });
});
