import { expect, it } from '@jest/globals';
import { MemoryBackend, type Session } from 'nestjs-sessionx';

import { startService } from '../support/services.js';

declare module 'nestjs-sessionx' {
  interface SessionUser {
    plan?: 'free' | 'pro';
  }
  interface SessionData {
    visits?: number;
  }
}

it('merged declarations are typed in what goes in and in what comes out', async () => {
  const { sessions, close } = await startService(new MemoryBackend());
  const { session } = await sessions.createSession({ user: { userId: 'ann', plan: 'pro' }, data: { visits: 1 } });
  const plan: 'free' | 'pro' | undefined = session.user?.plan;
  const visits: number | undefined = session.data.visits;
  expect([plan, visits]).toEqual(['pro', 1]);

  // @ts-expect-error -- not one of the plans
  await sessions.createSession({ user: { userId: 'ann', plan: 'gold' } });
  const readOnly = (each: Session) => {
    // @ts-expect-error -- properties of a session are changed in place, not replaced
    each.data = {};
  };
  expect(() => readOnly(session)).toThrow(TypeError);
  expect(() => Object.assign(session, { sessionId: 'x', user: { userId: 'admin' } })).toThrow(TypeError);
  await close();
});
