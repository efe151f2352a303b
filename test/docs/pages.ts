import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** A fenced block of code. */
export interface Block {
  /** The language, such as `ts`. */
  readonly language: string;
  readonly code: string;
  /** The name in the first line, `// app.module.ts`; null: it has none. */
  readonly file: string | null;
}

export interface Heading {
  readonly level: number;
  readonly text: string;
  /** What `#…` in a link calls it. */
  readonly anchor: string;
}

/** A table as its rows of cells, without the heading row. */
export interface Table {
  /** The heading above it; empty: there is none. */
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A page of the documentation. */
export interface Page {
  /** From the root of the repository, such as `docs/options.md`. */
  readonly path: string;
  readonly text: string;
  /** The text without blocks of code. */
  readonly prose: string;
  readonly blocks: readonly Block[];
  readonly headings: readonly Heading[];
  readonly tables: readonly Table[];
  /** Where links and pictures lead to, as they are written. */
  readonly links: readonly string[];
}

export function readPage(path: string): Page {
  const text = readFileSync(join(root, path), 'utf8');
  const { prose, blocks } = splitCode(text);
  return { path, text, prose, blocks, headings: headingsOf(prose), tables: tablesOf(prose), links: linksOf(prose) };
}

/** All that users read: the pages at the root and those in `docs/`. */
export function allPages(): readonly Page[] {
  const names = (folder: string) =>
    readdirSync(join(root, folder), { recursive: folder === 'docs', encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => (folder === '.' ? name : `${folder}/${name}`));
  return [...names('.'), ...names('docs')].sort().map(readPage);
}

/** The pages that exist in two languages, by the path of the English one. */
export function translationOf(path: string): string {
  return path === 'README.md' ? 'README.zh-TW.md' : path.replace(/^docs\//, 'docs/zh-TW/');
}

/** What stands in backticks, and in blocks of code. */
export function codeOf({ prose, blocks }: Page): string {
  const inline = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  return [...inline, ...blocks.map(({ code }) => code)].join('\n');
}

/** The first column of a table without its backticks: names of options, methods, codes. */
export function namesIn({ rows }: Table): string[] {
  return rows.map(([name = '']) => name.replaceAll('`', ''));
}

function splitCode(text: string): { prose: string; blocks: Block[] } {
  const blocks: Block[] = [];
  const prose = text.replace(/^```(\S*)[^\n]*\n([^]*?)^```$/gm, (_, language: string, code: string) => {
    blocks.push({ language, code, file: /^\/\/ ([\w./-]+\.ts)\n/.exec(code)?.[1] ?? null });
    return '';
  });
  return { prose, blocks };
}

function headingsOf(prose: string): Heading[] {
  const seen = new Map<string, number>();
  return [...prose.matchAll(/^(#{1,6}) (.+)$/gm)].map(([, marks, text]) => {
    const anchor = anchorOf(text!);
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return { level: marks!.length, text: text!, anchor: times === 0 ? anchor : `${anchor}-${times}` };
  });
}

/** As GitHub makes them of a heading. */
function anchorOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}

function tablesOf(prose: string): Table[] {
  const tables = prose.matchAll(/^(\|.*\|)\n\|[-:| ]+\|\n((?:\|.*\|(?:\n|$))+)/gm);
  return [...tables].map(({ index, 1: columns, 2: rows }) => ({
    heading: headingsOf(prose.slice(0, index)).at(-1)?.text ?? '',
    columns: cellsOf(columns!),
    rows: rows!.trimEnd().split('\n').map(cellsOf),
  }));
}

function cellsOf(row: string): string[] {
  return row
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));
}

function linksOf(prose: string): string[] {
  const text = prose.replace(/`[^`\n]+`/g, '');
  const ways = [/\]\(([^)\s]+)(?: "[^"]*")?\)/g, /<(?:a|img)\b[^>]*?\s(?:href|src)="([^"]*)"/g, /^\[[^\]]+\]: (\S+)/gm];
  return ways.flatMap((way) => [...text.matchAll(way)].map(([, link]) => link!));
}
