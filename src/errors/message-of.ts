import { HttpException } from '@nestjs/common';

import { quoted } from './quoted.js';
import { SessionError } from './session-error.js';

const LONGEST_MESSAGE = 300;

/** The message of an error for the log. One of the application may hold what a client has sent, and is quoted. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  const { message }: { readonly message: unknown } = error;
  if (typeof message !== 'string') return 'unknown failure';
  return error instanceof SessionError ? message : quoted(message, LONGEST_MESSAGE);
}

/** The name of an application's error for the log. Nest logs such errors in full, except an HttpException, whose message is sent to the client. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  return error instanceof HttpException ? `${error.name} ${error.getStatus()}: ${messageOf(error)}` : error.name;
}
