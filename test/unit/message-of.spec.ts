import { expect, it } from '@jest/globals';

import { messageOf } from '../../src/errors/message-of.js';

it.each([undefined, null, 7n, Symbol('x'), {}])(
  'an error whose message is %p does not hide itself by another error',
  (message) => {
    const error = Object.defineProperty(new Error(), 'message', { value: message });
    expect(messageOf(error)).toBe('unknown failure');
  },
);
