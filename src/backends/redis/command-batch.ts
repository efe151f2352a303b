import type { Cluster, Redis } from 'ioredis';
import type { Writable } from 'node:stream';

/**
 * Sends the commands of one turn of the event loop with one system call. ioredis makes one for each command, which costs as much as all else
 * of a read, and the server another one to receive it.
 */
export class CommandBatch {
  readonly #server: Redis | null;
  #isOpen = false;
  #stream: Writable | undefined;
  #streams: readonly Writable[] = [];

  constructor(private readonly client: Redis | Cluster) {
    this.#server = client.isCluster ? null : (client as Redis);
  }

  /** Call it before each command. What the application sends through its own client in the same turn goes with it. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    if (this.#server === null) {
      this.#streams = nodeStreams(this.client as Cluster);
      for (const stream of this.#streams) stream.cork();
    } else {
      this.#stream = streamOf(this.#server);
      this.#stream?.cork();
    }
    setImmediate(this.#send);
  }

  /** One function for all turns: every request comes by here. */
  readonly #send = (): void => {
    this.#isOpen = false;
    this.#stream?.uncork();
    for (const stream of this.#streams) stream.uncork();
  };
}

function nodeStreams(client: Cluster): Writable[] {
  return client.nodes('master').flatMap((node) => streamOf(node) ?? []);
}

/** A connection that is being made has no stream yet. */
function streamOf({ stream }: { readonly stream?: Writable }): Writable | undefined {
  return stream;
}
