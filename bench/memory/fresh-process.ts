import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Runs a module in a process of its own, whose heap holds nothing else, and returns the one message that it sends. */
export async function inFreshProcess<Answer>(module: string, args: readonly (string | number)[]): Promise<Answer> {
  const child = fork(fileURLToPath(new URL(module, import.meta.url)), args.map(String), {
    execArgv: ['--expose-gc', '--max-old-space-size=4096'],
  });
  const answers: Answer[] = [];
  child.on('message', (answer) => answers.push(answer as Answer));
  await once(child, 'exit');
  const [answer] = answers;
  if (answer === undefined) throw new Error('A process of the benchmark ended early.');
  return answer;
}
