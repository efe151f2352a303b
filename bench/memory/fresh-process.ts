import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Runs a module in a process of its own, whose heap holds nothing else, and returns the one message that it sends. */
export async function inFreshProcess<Reply>(module: string, args: readonly (string | number)[]): Promise<Reply> {
  const child = fork(fileURLToPath(new URL(module, import.meta.url)), args.map(String), {
    execArgv: ['--expose-gc', '--max-old-space-size=4096'],
  });
  const replies: Reply[] = [];
  child.on('message', (reply) => replies.push(reply as Reply));
  await once(child, 'exit');
  const [reply] = replies;
  if (reply === undefined) throw new Error('A process of the benchmark ended early.');
  return reply;
}
