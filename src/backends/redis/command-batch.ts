import type { Cluster, Redis } from 'ioredis';
import type { Writable } from 'node:stream';

/**
 * Sends the commands of one turn of the event loop with one system call. ioredis makes one for each command, which costs as much as all else
 * of a read, and the server another one to receive it.
 */
export class CommandBatch {
  #isOpen = false;

  constructor(private readonly client: Redis | Cluster) {}

  /** Call it before each command. What the application sends through its own client in the same turn goes with it. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    const streams = streamsOf(this.client);
    for (const stream of streams) stream.cork();
    setImmediate(() => {
      this.#isOpen = false;
      for (const stream of streams) stream.uncork();
    });
  }
}

/** A connection that is being made has no stream yet. */
function streamsOf(client: Redis | Cluster): readonly Writable[] {
  const connections: readonly { readonly stream?: Writable | null }[] = client.isCluster
    ? (client as Cluster).nodes('master')
    : [client as Redis];
  return connections.flatMap(({ stream }) => stream ?? []);
}
