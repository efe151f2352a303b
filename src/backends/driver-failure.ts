/**
 * What may be said of a driver's error. Its message and its other fields may hold keys, payloads, even passwords (`err.command.args`,
 * "unknown command … with args beginning with"), so only its name, its code, the error word of a Redis reply and the name of a command
 * that we know pass.
 */
export function describeDriverFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  const code: unknown = 'code' in error ? error.code : undefined;
  const words = [plainWord(error.name), plainWord(code), errorWord(error), knownText(error)];
  return words.filter((word, index) => word !== '' && words.indexOf(word) === index).join(' ');
}

/** The same in parentheses, to be put behind the subject of a sentence; empty where no more is known than that it is an error. */
export function driverFailureNote(error: unknown): string {
  const failure = describeDriverFailure(error);
  return failure === 'Error' ? '' : ` (${failure})`;
}

/** Of ioredis, which gives these no code. They hold nothing but what stands here. */
const KNOWN_TEXTS: ReadonlyMap<string, string> = new Map([
  ["Stream isn't writeable and enableOfflineQueue options is false", '(not connected)'],
  ['Connection is closed.', '(the connection was closed)'],
  ['Command timed out', '(no response in time)'],
]);

/** What `RedisBackend` and its driver send. The name in an error is shown only if it is one of these: it is text from outside. */
const KNOWN_COMMANDS: ReadonlySet<string> = new Set(
  'auth client cluster del eval evalsha exists get getrange hello info mget pexpire ping pttl publish quit readonly rename select set setrange subscribe time type zadd zcard zrange zrangebyscore zrem zscan zscore'.split(
    ' ',
  ),
);

/** As Redis 6 and 7 and servers like them spell it; that a script may not run a command they say without its name. */
const REFUSED_COMMAND = /^NOPERM .*? the '([\w|]+)' command|^(?:ERR )?unknown command [`']([\w|]+)[`']/i;

/** The command that a Redis refuses, because the user may not run it or because it has none of this name. Null: another failure. */
export function refusedCommand(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const [, forbidden, unknown] = REFUSED_COMMAND.exec(error.message) ?? [];
  const name = (forbidden ?? unknown ?? '').toLowerCase();
  return KNOWN_COMMANDS.has(name.split('|')[0] ?? '') ? name : null;
}

function knownText(error: Error): string {
  const command = refusedCommand(error);
  if (command !== null) return `(the server refuses the command ${command})`;
  const [, text] = KNOWN_PARTS.find(([part]) => error.message.includes(part)) ?? [];
  return text ?? KNOWN_TEXTS.get(error.message) ?? '';
}

/** Of Redis, with the hash of a script or nothing behind. */
const KNOWN_PARTS: readonly (readonly [part: string, text: string])[] = [
  ["can't run this command or subcommand", '(the user may not run a command that a script needs)'],
  ["can't access at least one of the keys", '(the user may not touch these keys)'],
  ['no permissions to access one of the keys', '(the user may not touch these keys)'],
];

function plainWord(value: unknown): string {
  return typeof value === 'string' && /^\w{1,60}$/.test(value) ? value : '';
}

/** `OOM`, `READONLY`, `WRONGPASS`: a Redis error reply begins with it. */
function errorWord(error: Error): string {
  if (error.name !== 'ReplyError') return '';
  return /^[A-Z]{2,30}(?= |$)/.exec(error.message)?.[0] ?? '';
}
