import { expect, it } from '@jest/globals';
import { fakeSession } from 'nestjs-sessionx/testing';

import { ConnectionEnd } from '../../src/requests/connection-end.js';

it('a connection that was closed while a message of it signed in watches nothing', () => {
  const watched = new Set<object>();
  const watch = (session: object) => {
    watched.add(session);
    return { id: null, stop: () => watched.delete(session) };
  };
  const end = new ConnectionEnd({ watch }, () => undefined);
  end.watch(fakeSession(), 'the first');
  end.stop();
  end.watch(fakeSession(), 'the second');
  expect(watched.size).toBe(0);
});
