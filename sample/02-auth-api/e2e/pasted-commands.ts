import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { SampleProcess } from '../../support/sample-process.js';

/** What the commands that are printed at the start answer. */
export const ANSWERS = [
  { user: { username: 'alice', email: 'alice@example.com', roles: ['user'] } },
  { message: 'Updated' },
  { user: { username: 'alice', email: 'alice@example.org' }, theme: 'dark' },
  { messages: [{ message: 'Login successful!', category: 'success' }] },
  { messages: [] },
  { statusCode: 403, message: 'Forbidden', code: 'ROLE_MISSING' },
  [
    { username: 'alice', roles: ['user'] },
    { username: 'admin', roles: ['admin', 'user'] },
  ],
  { message: 'Logged out from 1 device' },
  { statusCode: 401, message: 'Unauthorized' },
];

/** Pastes into a shell what the process has printed for that. */
export async function pasteCommands(main: SampleProcess): Promise<unknown[]> {
  const [, commands = ''] = await main.prints(/in this order:\n\n((?: {2}.+\n)+)\n/);
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', commands]);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}
