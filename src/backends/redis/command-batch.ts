import type { Cluster, Redis } from 'ioredis';
import type { Writable } from 'node:stream';

import { atEndOfTurn } from '../end-of-turn.js';
import { JoinedWrites } from './joined-writes.js';

/**
 * Sends the commands of one turn of the event loop with one system call. ioredis makes one for each command, which costs as much as all else
 * of a read, and the server another one to receive it.
 */
export class CommandBatch {
  readonly #server: Redis | null;
  #isOpen = false;
  #stream: Writable | undefined;
  #writes: JoinedWrites | undefined;
  #writesOfNodes: readonly JoinedWrites[] = [];

  constructor(private readonly client: Redis | Cluster) {
    this.#server = client.isCluster ? null : (client as Redis);
  }

  /** Call it before each command. What the application sends through its own client in the same turn goes with it. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    if (this.#server === null) {
      this.#writesOfNodes = nodeStreams(this.client as Cluster).map((stream) => JoinedWrites.to(stream));
      for (const writes of this.#writesOfNodes) writes.hold();
    } else {
      this.#writesTo(streamOf(this.#server))?.hold();
    }
    atEndOfTurn(this.#send);
  }

  #writesTo(stream: Writable | undefined): JoinedWrites | undefined {
    if (stream !== this.#stream) {
      this.#stream = stream;
      this.#writes = stream && JoinedWrites.to(stream);
    }
    return this.#writes;
  }

  /** One function for all turns: every request comes by here. */
  readonly #send = (): void => {
    this.#isOpen = false;
    this.#writes?.release();
    for (const writes of this.#writesOfNodes) writes.release();
  };
}

function nodeStreams(client: Cluster): Writable[] {
  return client.nodes('master').flatMap((node) => streamOf(node) ?? []);
}

/** A connection that is being made has no stream yet. */
function streamOf({ stream }: { readonly stream?: Writable }): Writable | undefined {
  return stream;
}
