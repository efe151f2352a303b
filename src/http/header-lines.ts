import type { IncomingMessage } from 'node:http';

/**
 * How many lines of a header the client has sent. Node hides this: it keeps the first of two `Authorization` lines, and joins those of others.
 *
 * @param name in lower case
 */
export function countHeaderLines({ rawHeaders }: IncomingMessage, name: string): number {
  let lines = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const candidate = rawHeaders[index];
    if (candidate?.length === name.length && candidate.toLowerCase() === name) lines++;
  }
  return lines;
}
