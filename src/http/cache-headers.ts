import type { ServerResponse } from 'node:http';

import { overlay } from './overlay.js';

/** In lower case, as `getHeaderNames()` returns them. `X-Accel-Expires` is that of nginx, `Edge-Control` that of Akamai. */
const OTHER_CACHE_HEADERS = /^(expires|surrogate-control|edge-control|x-accel-expires|.+-cache-control)$/;
/** All the ways to change a header end in these, also those of `writeHead` where headers were set before. */
const HEADER_METHODS = ['setHeader', 'appendHeader', 'removeHeader'] as const;

type HeaderMethod = (this: ServerResponse, header: unknown, ...values: unknown[]) => unknown;

/** Responses that no cache may keep. */
const forbidden = new WeakSet<ServerResponse>();

/** Forbids caches to keep a response. Headers that some caches prefer to `Cache-Control` are removed (RFC 9111, section 5.3; RFC 9213). */
export function forbidStoring(response: ServerResponse): void {
  forbidden.add(response);
  response.setHeader('Cache-Control', 'no-store');
  for (const name of response.getHeaderNames()) if (OTHER_CACHE_HEADERS.test(name)) response.removeHeader(name);
}

/** Whether `forbidStoring()` was called for a response. */
export function isStoringForbidden(response: ServerResponse): boolean {
  return forbidden.has(response);
}

/**
 * Calls `writeHead`, during which no other code changes what the response says to caches. Middleware that waits for the head sets its headers then,
 * below ours, such as those that use the package `on-headers`.
 */
export function withCacheHeadersKept<T>(response: ServerResponse, writeHead: () => T): T {
  const methods = response as unknown as Readonly<Record<(typeof HEADER_METHODS)[number], HeaderMethod>>;
  const kept: PropertyDescriptorMap = {};
  for (const name of HEADER_METHODS) {
    const method = methods[name];
    const value: HeaderMethod = (header, ...values) =>
      isForCaches(header) ? response : method.call(response, header, ...values);
    kept[name] = { value, writable: true };
  }
  const uncover = overlay(response, kept);
  try {
    return writeHead();
  } finally {
    uncover();
  }
}

function isForCaches(header: unknown): boolean {
  const name = String(header).toLowerCase();
  return name === 'cache-control' || OTHER_CACHE_HEADERS.test(name);
}
