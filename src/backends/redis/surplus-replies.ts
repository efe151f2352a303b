import { Redis } from 'ioredis';

/**
 * Takes replies that no call waits for. ioredis has an error event for them, but ends the process when such a reply is *nothing*: it makes a
 * text of it in order to show it. Nothing is what an absent session is, and that reply is one too many after any other one too many.
 *
 * Only for a connection of the module's own: it looks into the client.
 *
 * @param report called for each
 */
export function takeSurplusReplies(client: Redis, report: () => void): void {
  // Each connection has a stream and a queue of its own, which are there when it is announced, and no reply has come yet.
  client.on('connect', () => {
    const { stream, commandQueue } = client;
    const next = commandQueue.shift.bind(commandQueue);
    /** How many replies the bytes that just came can be at most; 0 outside of them, where the client takes from the queue until it is empty. */
    let possible = 0;
    stream.prependListener('data', (bytes: Buffer) => {
      possible = bytes.length;
    });
    stream.on('data', () => {
      possible = 0;
    });
    commandQueue.shift = () => {
      const item = next();
      if (item !== undefined || possible === 0) return item;
      possible--;
      report();
      return { command: unclaimedCommand(), stream, select: 0 };
    };
  });
}

function unclaimedCommand(): InstanceType<typeof Redis.Command> {
  const command = new Redis.Command('ping');
  command.promise.catch(() => undefined);
  return command;
}
