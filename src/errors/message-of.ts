import { HttpException } from '@nestjs/common';

/** The message of an error for the log. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown failure';
}

/** The name of an application's error for the log. Nest logs such errors in full, except an HttpException, whose message is sent to the client. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  return error instanceof HttpException ? `${error.name} ${error.getStatus()}: ${error.message}` : error.name;
}
