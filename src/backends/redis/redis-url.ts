import type { RedisOptions } from 'ioredis';

const DATABASE_PATH = /^\/\d+$/;
/** `URL` drops these without a word, also from the middle of a password. */
const LINE_BREAKS = /[\t\r\n]/;

/**
 * The options that a Redis URL stands for: `redis[s]://[user[:password]@]host[:port][/database][?name=value]`.
 *
 * Read here and not by ioredis: it throws the error of `URL`, which holds the whole text, and takes a wrong path for database 0.
 *
 * @throws TypeError that shows nothing of the text, which may hold a password in any of its parts, and has no cause
 */
export function optionsOfRedisUrl(given: string): RedisOptions {
  const text = given.trim();
  if (LINE_BREAKS.test(text)) throw unusableError('it contains a line break or a tab');
  const url = parsed(text);
  if (url === null) throw unusableError('it cannot be parsed');
  if (url.hash !== '' || text.includes('#')) throw unusableError('it contains a #');
  // A password with a slash or a question mark ends the host early, and the rest of it would be read as a path or a query.
  if (`${url.pathname}${url.search}`.includes('@')) throw unusableError('there is an @ behind the host');
  if (url.hostname === '') throw unusableError('it names no host');

  const { pathname, hostname, port, searchParams } = url;
  if (pathname !== '' && pathname !== '/' && !DATABASE_PATH.test(pathname)) {
    throw unusableError('its path is not the number of a database, such as /1');
  }
  const username = decoded(url.username);
  const password = decoded(url.password);
  if (username === null || password === null)
    throw unusableError('a % in the user name or the password stands for itself');

  const query = Object.fromEntries(searchParams);
  return {
    ...query,
    ...('family' in query ? { family: Number(query.family) } : {}),
    // As the query asks for it, if the path does not: the check of the options follows.
    ...(pathname.length > 1 ? { db: Number(pathname.slice(1)) } : databaseOf(query.db)),
    host: hostname.replace(/^\[|\]$/g, ''),
    ...(port === '' ? {} : { port: Number(port) }),
    ...(username === '' && password === '' ? {} : { username, password }),
    ...(url.protocol === 'rediss:' && !('tls' in query) ? { tls: {} } : {}),
  };
}

function databaseOf(text: string | undefined): RedisOptions {
  if (text === undefined) return {};
  return { db: /^\d+$/.test(text) ? Number(text) : NaN };
}

function parsed(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function unusableError(what: string): TypeError {
  return new TypeError(
    `RedisBackend cannot use this URL: ${what}. Percent-encode the user name and the password (encodeURIComponent), ` +
      'or pass { host, port, db, username, password } instead. The URL is not shown here, as it may hold a password.',
  );
}
