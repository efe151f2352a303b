import { rawRequestOf, type PlatformRequest } from './http-messages.js';

/** What the frameworks tell of the route that a request has come to. */
interface RoutedRequest {
  /** Of Fastify: the whole pattern. */
  readonly routeOptions?: { readonly url?: string };
  /** Of Express: the pattern behind `baseUrl`. */
  readonly route?: { readonly path?: unknown };
  readonly baseUrl?: string;
  readonly app?: { readonly path?: () => string };
  readonly params?: Readonly<Record<string, unknown>>;
}

/** A path that was written, and no value in it: `api`, `v1`, `sign-in`. */
const WORD = /^(v\d{1,3}|[a-z]{1,15}(-[a-z]{1,15})*)$/;

/**
 * Method and route of a request, for the log: `GET /users/:id`. Never its URL, as a path may hold a secret.
 */
export function routeOf(request: PlatformRequest): string {
  const routed = request as RoutedRequest;
  const path = routed.routeOptions?.url ?? `${prefixOf(routed)}${patternOf(routed)}`;
  return `${rawRequestOf(request).method ?? '?'} ${path}`;
}

function patternOf({ route }: RoutedRequest): string {
  const path = route?.path;
  if (Array.isArray(path)) return path.join(', ');
  return typeof path === 'string' || path instanceof RegExp ? String(path) : '/*';
}

/** Where an application of Express is mounted in another one, which has matched this part of the URL. */
function prefixOf({ baseUrl = '', app, params = {} }: RoutedRequest): string {
  if (baseUrl === '') return '';
  const written = baseUrl.split('/');
  const pattern = (app?.path?.() ?? '').split('/');
  const isOfPattern = (segment: string, index: number): boolean =>
    segment === pattern[index] || pattern[index]?.startsWith(':') === true;
  // An application that is mounted in several places knows of the last one only, and one behind a router of none.
  if (pattern.length === written.length && written.every(isOfPattern)) return pattern.join('/');
  const values = new Set(Object.values(params));
  return written
    .map((segment) => (segment === '' || (WORD.test(segment) && !values.has(segment)) ? segment : '*'))
    .join('/');
}
