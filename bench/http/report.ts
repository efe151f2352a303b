import { median } from '../support/statistics.js';
import { ratio, table, whole } from '../support/table.js';
import type { Platform } from './apps/app-definition.js';
import type { Figure, Measurement, Series } from './measurement.js';
import { TARGETS } from './targets.js';

const HOW_TO_READ = `\
How to read: medians over the starts of a process, each the median of its rounds. In parentheses the middle half of the ratios within each
start. Server, load and stores share this machine, so "CPU us", the CPU time that the server process takes for a request, says more than
the requests per second; "user us" is the part of it outside the kernel, which other load disturbs least. "/lim" is the ratio to LIMIT: for req/s higher is
better, else lower. "Redis" is what Redis counted per request.`;

const FIGURES: readonly [Figure, name: string, (value: number) => string][] = [
  ['requestsPerSecond', 'req/s', whole],
  ['p99Ms', 'p99 ms', (value) => value.toFixed(2)],
  ['cpuUs', 'CPU us', (value) => value.toFixed(1)],
  ['userUs', 'user us', (value) => value.toFixed(1)],
];

export function printReport(platform: Platform, measurements: readonly Measurement[]): void {
  for (const { connections, all } of measurements) {
    const limit = all.find(({ variant }) => variant.name === 'limit');
    const header = ['GET with a session', ...FIGURES.flatMap(([, name]) => [name, '/lim']), 'Redis'];
    const rows = all.map((series) => [
      series.variant.label,
      ...FIGURES.flatMap(([figure, , format]) => [
        format(series.median(figure)),
        limit === undefined ? '-' : ratio(series.ratioTo(limit, figure)),
      ]),
      commands(series),
    ]);
    console.log(`\n${platform}, ${connections} connections\n${table(header, rows)}`);
  }
  printTargets(platform, measurements);
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

function printTargets(platform: Platform, measurements: readonly Measurement[]): void {
  const rows = TARGETS[platform].flatMap(({ ours, other, connections, atLeast, aim }) => {
    const all = measurements.find((measurement) => measurement.connections === connections)?.all ?? [];
    const a = all.find(({ variant }) => variant.name === ours);
    const b = all.find(({ variant }) => variant.name === other);
    if (a === undefined || b === undefined) return [];
    const [low, high] = a.spreadTo(b, 'requestsPerSecond');
    // By CPU the one that spends less is ahead.
    const [cheapest, dearest] = b.spreadTo(a, 'cpuUs');
    return [
      [
        `${a.variant.label} : ${b.variant.label}, ${connections} connections`,
        `${ratio(a.ratioTo(b, 'requestsPerSecond'))} (${ratio(low)} to ${ratio(high)})`,
        `${ratio(b.ratioTo(a, 'cpuUs'))} (${ratio(cheapest)} to ${ratio(dearest)})`,
        ratio(atLeast),
        ratio(aim),
      ],
    ];
  });
  if (rows.length > 0) console.log(`\n${table(['target', 'by req/s', 'by CPU', 'at least', 'aim'], rows)}\n`);
}
