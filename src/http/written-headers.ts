import type { ServerResponse } from 'node:http';

import type { HeadersObject } from './vary.js';

/** A response that checks the headers that are set. */
interface HeaderSink {
  setHeader(name: unknown, value: unknown): unknown;
}

type Pair = readonly [name: unknown, value: unknown];

/**
 * Makes headers that are given to `writeHead` headers of the response. There they would win over its own, and so over those that we add.
 *
 * @returns the arguments that remain for `writeHead`. `null` if Node refuses the given ones before it takes a header
 * @throws what Node throws for a header that cannot be sent
 */
export function adoptHead(
  response: ServerResponse,
  given: unknown,
  second: unknown,
  third: unknown,
): readonly [status: number, reason?: string] | null {
  const reason = typeof second === 'string' ? second : undefined;
  const headers = reason === undefined ? (third ?? second) : third;
  const status = Math.trunc(Number(given));
  if (!(status >= 100 && status <= 999) || isOdd(headers)) return null;
  response.statusCode = status;
  if (typeof headers === 'object' && headers !== null) setHeaders(response, headers);
  return reason === undefined ? [status] : [status, reason];
}

/** Whether an argument of `writeHead` is headers in the usual form, and not a list. */
export function isHeadersObject(argument: unknown): argument is HeadersObject {
  return typeof argument === 'object' && argument !== null && !Array.isArray(argument);
}

/** Copies lists of values, because the application may still change its own. */
export function detachHeaders(response: ServerResponse): void {
  for (const name of headerNames(response)) {
    const value = response.getHeader(name);
    if (Array.isArray(value)) response.setHeader(name, [...value]);
  }
}

/** An object, a flat list of names and values, or a list of pairs. Repeated names become a list of values. */
function setHeaders(response: HeaderSink, headers: object): void {
  if (!Array.isArray(headers)) {
    for (const name of Object.keys(headers)) response.setHeader(name, (headers as Record<string, unknown>)[name]);
    return;
  }
  const grouped = new Map<unknown, readonly Pair[]>();
  for (const [name, value] of headerPairs(headers)) {
    const key = typeof name === 'string' ? name.toLowerCase() : name;
    grouped.set(key, [...(grouped.get(key) ?? []), [name, value]]);
  }
  for (const pairs of grouped.values()) {
    const values = pairs.map(([, value]) => value);
    response.setHeader(pairs[0]?.[0], values.length === 1 ? values[0] : values.flat().map(String));
  }
}

function headerPairs(headers: readonly unknown[]): readonly Pair[] {
  if (Array.isArray(headers[0])) return headers as readonly Pair[];
  return Array.from({ length: headers.length / 2 }, (_, index): Pair => [headers[2 * index], headers[2 * index + 1]]);
}

function isOdd(headers: unknown): boolean {
  return Array.isArray(headers) && !Array.isArray(headers[0]) && headers.length % 2 !== 0;
}

/** As the application has spelled them, if the response knows that. */
function headerNames(response: ServerResponse): readonly string[] {
  const { getRawHeaderNames } = response as { getRawHeaderNames?: () => string[] };
  return getRawHeaderNames?.call(response) ?? response.getHeaderNames();
}
