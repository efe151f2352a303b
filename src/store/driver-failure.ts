/**
 * What may be said of a driver's error. Its message and its other fields may hold keys, payloads, even passwords (`err.command.args`,
 * "unknown command … with args beginning with"), so only its name, its code and the error word of a Redis reply pass.
 */
export function describeDriverFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  const code: unknown = 'code' in error ? error.code : undefined;
  const words = [plainWord(error.name), plainWord(code), errorWord(error), KNOWN_TEXTS.get(error.message) ?? ''];
  return words.filter((word, index) => word !== '' && words.indexOf(word) === index).join(' ');
}

/** Of ioredis, which gives these no code. They hold nothing but what stands here. */
const KNOWN_TEXTS: ReadonlyMap<string, string> = new Map([
  ["Stream isn't writeable and enableOfflineQueue options is false", '(not connected)'],
  ['Connection is closed.', '(the connection was closed)'],
  ['Command timed out', '(no answer in time)'],
]);

function plainWord(value: unknown): string {
  return typeof value === 'string' && /^\w{1,60}$/.test(value) ? value : '';
}

/** `OOM`, `READONLY`, `WRONGPASS`: a Redis error reply begins with it. */
function errorWord(error: Error): string {
  if (error.name !== 'ReplyError') return '';
  return /^[A-Z]{2,30}(?= |$)/.exec(error.message)?.[0] ?? '';
}
