import { describe, expect, it } from '@jest/globals';

import { readPage, translationOf } from './pages.js';

describe.each(['README.md', 'docs/getting-started.md', 'docs/options.md'])('%s in both languages', (path) => {
  const original = readPage(path);
  const translation = readPage(translationOf(path));

  it('has the same sections', () => {
    expect(translation.headings.map(({ level }) => level)).toEqual(original.headings.map(({ level }) => level));
  });

  it('has the same code', () => {
    const codeOf = ({ blocks }: typeof original) => blocks.filter(({ language }) => language !== 'text');
    expect(codeOf(translation)).toEqual(codeOf(original));
  });

  it('has the same tables, by their first columns and defaults', () => {
    const namesOf = ({ tables }: typeof original) =>
      tables.map(({ rows }) => rows.map((row) => row.slice(0, 2).map((cell) => /^`[^`]+`$/.exec(cell)?.[0])));
    expect(namesOf(translation)).toEqual(namesOf(original));
    expect(translation.tables.map(({ columns }) => columns.length)).toEqual(
      original.tables.map(({ columns }) => columns.length),
    );
  });

  it('leads to the other one', () => {
    const fileOf = (page: string) => page.split('/').at(-1)!;
    expect(original.links.some((link) => link.endsWith(translation.path.replace(/^docs\//, '')))).toBe(true);
    expect(translation.links.some((link) => link.endsWith(fileOf(original.path)))).toBe(true);
  });
});
