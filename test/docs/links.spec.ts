import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

import { allPages, readPage, root, type Page } from './pages.js';

const pages = allPages();

describe('the pages', () => {
  it('have links and pictures that lead somewhere', () => {
    expect(pages.flatMap(brokenLinksOf)).toEqual([]);
    expect(pages.flatMap(({ links }) => links).length).toBeGreaterThan(20);
  });

  it('are each reached from the README, by way of other pages', () => {
    const reached = new Set(['README.md']);
    for (const path of reached) {
      for (const link of localLinksOf(readPage(path))) {
        if (link.endsWith('.md') && existsSync(join(root, link))) reached.add(link);
      }
    }
    expect([...reached].sort()).toEqual(expect.arrayContaining(pages.map(({ path }) => path).filter(isForUsers)));
  });

  it('link to nothing that the tarball lacks, if they are in it', () => {
    const packed = filesInTarball();
    const folders = new Set(packed.flatMap(foldersOf));
    const inTarball = pages.filter(({ path }) => packed.includes(path));
    const lacking = inTarball.flatMap((page) =>
      localLinksOf(page)
        .filter((link) => !packed.includes(link) && !folders.has(link))
        .map((link) => `${page.path}: ${link}`),
    );
    expect(lacking).toEqual([]);
    expect(inTarball.map(({ path }) => path)).toEqual(pages.map(({ path }) => path));
  });

  it('show pictures with a text for those who do not see them', () => {
    const without = pages.flatMap(({ path, prose }) =>
      [...prose.matchAll(/!\[\s*\]\([^)]*\)|<img(?![^>]*\salt="[^"]+)[^>]*>/g)].map(
        ([picture]) => `${path}: ${picture}`,
      ),
    );
    expect(without).toEqual([]);
  });
});

it('the README has at most 9 KB, in each language', () => {
  for (const path of ['README.md', 'README.zh-TW.md']) expect(statSync(join(root, path)).size).toBeLessThan(9 * 1024);
});

/** The changes of a version are read from the list of files, not from the README. */
function isForUsers(path: string): boolean {
  return path !== 'CHANGELOG.md';
}

function brokenLinksOf(page: Page): string[] {
  return page.links.filter((link) => !isGood(page, link)).map((link) => `${page.path}: ${link}`);
}

function isGood(page: Page, link: string): boolean {
  if (/^[a-z]+:/i.test(link)) return /^https:\/\/[\w.-]+\.\w+(\/|$)/.test(link);
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page.path : resolve(page, path);
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || anchorsOf(target).includes(decodeURIComponent(anchor));
}

function anchorsOf(path: string): string[] {
  return path.endsWith('.md') ? readPage(path).headings.map(({ anchor }) => anchor) : [];
}

/** Where the links of a page to other files lead to, from the root. */
function localLinksOf(page: Page): string[] {
  return page.links
    .filter((link) => !/^[a-z]+:|^#/i.test(link))
    .map((link) => resolve(page, link.split('#')[0]!).replace(/\/$/, ''));
}

function resolve(page: Page, path: string): string {
  return posix.join(dirname(page.path), path);
}

/** What `npm pack` would pack of what is there; the build may be missing. */
function filesInTarball(): string[] {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
  expect(files).toContain('docs');
  const { stdout, status } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect(status).toBe(0);
  const printed = JSON.parse(stdout) as unknown;
  const [packed] = Object.values(printed as Record<string, { files: { path: string }[] }>);
  return packed!.files.map(({ path }) => path);
}

function foldersOf(file: string): string[] {
  const folder = posix.dirname(file);
  return folder === '.' ? [] : [folder, ...foldersOf(folder)];
}
