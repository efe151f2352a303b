import { afterEach, describe, expect, it } from '@jest/globals';
import { FakeClock } from 'nestjs-sessionx/testing';

import { everyBackend, type BackendUnderTest } from '../support/backends.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

describe.each(everyBackend())('a clock that counts parts of a millisecond, on $name', (store: BackendUnderTest) => {
  let service: ServiceUnderTest | undefined;

  afterEach(async () => {
    await service?.close();
    await store.stop();
  });

  it.each([0.5, 0.1, 0.999])(
    'works with %p of one: sessions are made, used, renewed, listed and ended',
    async (part) => {
      await store.start();
      const clock = new FakeClock(Date.now() + part);
      service = await startService(store.another(), { sessionTtl: 100, absoluteTimeout: 1000 }, clock);
      const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' }, data: { count: 0 } });
      session.addFlashMessage('hello');
      await service.sessions.updateSession(session);
      for (let step = 0; step < 4; step++) {
        clock.advance(60_000.25);
        await service.sessions.renewSession(token);
        await service.sessions.update(session.sessionId, ({ data }) => {
          data.count = Number(data.count) + 1;
        });
      }
      const loaded = await service.sessions.getSession(token);
      expect(loaded.data).toEqual({ count: 4 });
      expect(loaded.getFlashMessages()).toHaveLength(1);
      expect(loaded.lastAccessed.getTime()).toBeLessThanOrEqual(clock.now());
      expect(await service.sessions.listUserSessions('ann')).toHaveLength(1);
      clock.advance(99_999);
      expect((await service.sessions.getSession(token)).user?.userId).toBe('ann');
      clock.advance(2);
      await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
      const { session: other } = await service.sessions.createSession({ user: { userId: 'ann' } });
      expect(await service.sessions.deleteUserSessions('ann')).toBe(1);
      await expect(service.sessions.update(other.sessionId, () => undefined)).rejects.toMatchObject({
        code: expect.stringMatching(/SESSION_(NOT_FOUND|ENDED)/),
      });
    },
  );
});
