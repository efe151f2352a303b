import type { Redis } from 'ioredis';

import { noRequest } from '../../no-request.js';

/** How often a timeout is looked at whether anything has come: a dead connection is found at most this part later. */
const PARTS_OF_A_TIMEOUT = 4;

/**
 * Gives up a connection on which nothing at all has come for a timeout while a command waits: a firewall may have forgotten it. Of a server
 * that is slow but alive, replies to other commands keep it. ioredis can do so too, by timers that it sets for each command, which cost as much as
 * the command; this is one timer for all of them, and none while no command is sent.
 */
export class SilenceWatch {
  readonly #partMs: number;
  #timer: NodeJS.Timeout | undefined;
  #stream: Redis['stream'] | undefined;
  #bytesReceived = 0;
  #silentParts = 0;

  constructor(
    private readonly client: Redis,
    timeoutMs: number,
  ) {
    this.#partMs = timeoutMs / PARTS_OF_A_TIMEOUT;
  }

  /** Call it with each command. */
  commandSent(): void {
    if (this.#timer !== undefined) return;
    this.#note();
    this.#wait();
  }

  #note(): void {
    this.#stream = this.client.stream;
    // A connection that is being made has no stream yet.
    this.#bytesReceived = bytesRead(this.#stream);
    this.#silentParts = 0;
  }

  #wait(): void {
    this.#timer = noRequest.runInAsyncScope(() =>
      setTimeout(() => {
        // What has come while the process was busy is read first.
        setImmediate(() => this.#look());
      }, this.#partMs).unref(),
    );
  }

  #look(): void {
    this.#timer = undefined;
    const { stream, commandQueue } = this.client;
    if (commandQueue.length === 0) return;
    if (stream !== this.#stream || bytesRead(stream) !== this.#bytesReceived) this.#note();
    else if (++this.#silentParts >= PARTS_OF_A_TIMEOUT) {
      stream.destroy(new Error('Nothing came while a command waited.'));
      return;
    }
    this.#wait();
  }
}

function bytesRead(stream: Partial<Pick<Redis['stream'], 'bytesRead'>> | undefined): number {
  return stream?.bytesRead ?? 0;
}
