import { rawRequestOf, type PlatformRequest } from './http-messages.js';

/** What the frameworks know about the route of a request. */
interface RoutedRequest {
  /** On Fastify: the whole pattern. */
  readonly routeOptions?: { readonly url?: string };
  /** On Express: the pattern after `baseUrl`. */
  readonly route?: { readonly path?: unknown };
  readonly baseUrl?: string;
  readonly app?: { readonly path?: () => string };
  readonly params?: Readonly<Record<string, unknown>>;
}

/** A part of a path that is a word, and not a value: `api`, `v1`, `sign-in`. */
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

/** The part of the URL at which an application of Express is mounted in another one. */
function prefixOf({ baseUrl = '', app, params = {} }: RoutedRequest): string {
  if (baseUrl === '') return '';
  const written = baseUrl.split('/');
  const pattern = (app?.path?.() ?? '').split('/');
  const isOfPattern = (segment: string, index: number): boolean =>
    segment === pattern[index] || pattern[index]?.startsWith(':') === true;
  // An application that is mounted in several places knows only the last one, and behind a router it knows none.
  if (pattern.length === written.length && written.every(isOfPattern)) return pattern.join('/');
  const values = new Set(Object.values(params));
  return written
    .map((segment) => (segment === '' || (WORD.test(segment) && !values.has(segment)) ? segment : '*'))
    .join('/');
}
