import type { LoggerService } from '@nestjs/common';
import { inspect } from 'node:util';

/** Keeps the lines of a log, each with its level before it. */
export class LogLines implements LoggerService {
  readonly all: string[] = [];

  log(message: unknown): void {
    this.#keep('log', message);
  }

  debug(message: unknown): void {
    this.#keep('debug', message);
  }

  warn(message: unknown): void {
    this.#keep('warn', message);
  }

  error(message: unknown): void {
    this.#keep('error', message);
  }

  /** Those of these levels. */
  of(...levels: readonly ('log' | 'debug' | 'warn' | 'error')[]): readonly string[] {
    return this.all.filter((line) => levels.some((level) => line.startsWith(`${level}: `)));
  }

  clear(): void {
    this.all.length = 0;
  }

  #keep(level: string, message: unknown): void {
    this.all.push(`${level}: ${typeof message === 'string' ? message : inspect(message)}`);
  }
}
