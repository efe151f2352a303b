import { median } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import type { Platform } from './apps/app-definition.js';
import type { Figure, Series } from './measurement.js';

const HOW_TO_READ = `\
How to read: medians over the rounds; the ratios are medians of the ratios within each round. Server, load and Redis share this machine, so
"CPU us", the CPU time that the server process takes for a request, says more than the requests per second; "user us" is the part of it outside
the kernel, which other load disturbs least. "/lim" is the ratio to LIMIT, "/shp" to SHAPE: for req/s higher is better, else lower. The last
column is what Redis counted per request.`;

export function printReport(platform: Platform, all: readonly Series[]): void {
  const limit = all.find(({ variant }) => variant.name === 'limit');
  const shape = all.find(({ variant }) => variant.name === 'shape');
  const figures: readonly [Figure, (value: number) => string][] = [
    ['requestsPerSecond', whole],
    ['p99Ms', (value) => value.toFixed(2)],
    ['cpuUs', (value) => value.toFixed(1)],
    ['userUs', (value) => value.toFixed(1)],
  ];
  const names = ['req/s', 'p99 ms', 'CPU us', 'user us'];
  const header = ['GET with a session', ...names.flatMap((name) => [name, '/lim', '/shp']), 'Redis commands'];
  const rows = all.map((series) => [
    series.variant.label,
    ...figures.flatMap(([figure, format]) => [
      format(series.median(figure)),
      ...[limit, shape].map((other) => (other === undefined ? '-' : ratio(series.ratioTo(other, figure)))),
    ]),
    commands(series),
  ]);
  console.log(`\n${platform}\n${table(header, rows)}\n`);
  printTargets(platform, all);
}

export function printHowToRead(): void {
  console.log(`\n${HOW_TO_READ}`);
}

/** Each command that some request made, and how many per request. */
function commands({ samples }: Series): string {
  const names = new Set(samples.flatMap((sample) => [...sample.commands.keys()]));
  const perRequest = [...names].map((name): [string, number] => [
    name,
    median(samples.map((sample) => sample.commands.get(name) ?? 0)),
  ]);
  const seen = perRequest.filter(([, count]) => count >= 0.005);
  return seen.length === 0 ? 'none' : seen.map(([name, count]) => `${count.toFixed(2)} ${name}`).join(' + ');
}

function printTargets(platform: Platform, all: readonly Series[]): void {
  const targets: readonly [ours: string, other: string, atLeast: number][] =
    platform === 'fastify'
      ? [
          ['redis', 'shape', 0.95],
          ['redis', 'peer', 1],
          ['redis', 'peer-rolling', 1.5],
          ['unused', 'bare', 1],
        ]
      : [['unused', 'bare', 1]];
  const rows = targets.flatMap(([ours, other, atLeast]) => {
    const a = all.find(({ variant }) => variant.name === ours);
    const b = all.find(({ variant }) => variant.name === other);
    if (a === undefined || b === undefined) return [];
    // By CPU the one that spends less is ahead.
    const figures = [a.ratioTo(b, 'requestsPerSecond'), 1 / a.ratioTo(b, 'cpuUs')];
    return [[`${a.variant.label} : ${b.variant.label}`, ...figures.map(ratio), ratio(atLeast)]];
  });
  if (rows.length > 0) console.log(table(['target', 'by req/s', 'by CPU', 'at least'], rows));
}
