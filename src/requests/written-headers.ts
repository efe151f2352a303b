import type { ServerResponse } from 'node:http';

type HeaderValue = string | number | readonly string[];

/** The headers of a `writeHead` call: an object, a flat list of names and values, or a list of pairs. Repeated names become a list. */
export function setHeaders(response: ServerResponse, headers: object): void {
  if (!Array.isArray(headers)) {
    for (const name of Object.keys(headers)) {
      const value = (headers as Record<string, HeaderValue | undefined>)[name];
      if (value !== undefined) response.setHeader(name, value);
    }
    return;
  }
  const grouped = new Map<string, [name: string, values: string[]]>();
  for (const [key, value] of headerPairs(headers as unknown[])) {
    const name = String(key);
    const given = Array.isArray(value) ? value.map(String) : [String(value)];
    const [, values] = grouped.get(name.toLowerCase()) ?? [name, []];
    grouped.set(name.toLowerCase(), [name, [...values, ...given]]);
  }
  for (const [name, values] of grouped.values())
    response.setHeader(name, values.length === 1 ? String(values[0]) : values);
}

function headerPairs(headers: readonly unknown[]): readonly (readonly unknown[])[] {
  if (Array.isArray(headers[0])) return headers as unknown[][];
  return Array.from({ length: Math.floor(headers.length / 2) }, (_, index) => headers.slice(2 * index, 2 * index + 2));
}
