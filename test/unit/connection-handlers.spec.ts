import { expect, it } from '@jest/globals';
import { SessionNotFoundError } from 'nestjs-sessionx';

import { refusingByErrors } from '../../src/decorators/connection-handlers.js';

it.each([
  [
    'is thrown',
    () => {
      throw new RangeError('of the application');
    },
  ],
  ['rejects', () => Promise.reject(new RangeError('of the application'))],
])('an error of the application that %s in a handler of connections is left to Nest', async (_how, handler) => {
  const sent: unknown[] = [];
  const socket = { emit: (event: string) => sent.push(event), disconnect: () => sent.push('disconnect') };
  const handle = refusingByErrors(handler);
  await expect(Promise.resolve().then(() => handle(socket))).rejects.toThrow(RangeError);
  expect(sent).toEqual([]);
});

it('an error of ours that a handler of connections rejects with refuses the connection', async () => {
  const sent: unknown[] = [];
  const socket = { emit: (event: string) => sent.push(event), disconnect: () => sent.push('disconnect') };
  await refusingByErrors(() => Promise.reject(new SessionNotFoundError()))(socket);
  await Promise.resolve();
  expect(sent).toEqual(['exception', 'disconnect']);
});
