import { HttpException } from '@nestjs/common';

/** For the log. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown failure';
}

/** The same of an error of the application: Nest logs it in full, but for an HttpException, whose message is sent to the client. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure';
  return error instanceof HttpException ? `${error.name} ${error.getStatus()}: ${error.message}` : error.name;
}
