import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  MemoryBackend,
  MigratingBackend,
  Session,
  SessionBackendError,
  SessionGuard,
  type SessionId,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { SessionStore } from '../../src/store/session-store.js';
import { PLATFORMS, startApp } from '../support/apps.js';
import { newerForms, newerText } from '../support/newer-records.js';
import { rawMemcached, rawRedis } from '../support/raw-stores.js';
import { atOnce, startService, type ServiceUnderTest } from '../support/services.js';

const NEWER = { code: 'BACKEND_RECORD_NEWER', status: 503 };

describe.each([rawRedis(), rawMemcached()])('sessions that a later version has stored, on $name', (store) => {
  let service: ServiceUnderTest;
  let limited: ServiceUnderTest;
  let users = 0;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another());
    limited = await startService(store.another(), { maxSessionsPerUser: 2 }, service.clock);
  });

  afterAll(async () => {
    await service.close();
    await limited.close();
    await store.stop();
  });

  it.each(newerForms)('are a 503 at every call, and nothing is written: one %s', async (_what, change) => {
    const user = { userId: `user ${users++}` };
    const { session, token } = await service.sessions.createSession({ user, data: { kept: true } });
    const held = await service.sessions.getSession(token);
    held.data.more = true;
    // The least recently used session is the one of a later version: a login at the limit would have to end it.
    service.clock.advance(1);
    const other = await service.sessions.createSession({ user });
    const id = session.sessionId;
    const before = await store.read(id);
    const newer = change(before);
    await store.write(id, newer);

    const { sessions } = service;
    const calls: [string, () => Promise<unknown>][] = [
      ['getSession', () => sessions.getSession(token)],
      ['renewSession', () => sessions.renewSession(token)],
      ['update', () => sessions.update(id, () => undefined)],
      ['updateSession', () => sessions.updateSession(held)],
      ['update with a message', () => sessions.update(id, (current) => current.addFlashMessage('late'))],
      ['invalidateSession', () => sessions.invalidateSession(held)],
      ['regenerateSessionId', () => sessions.regenerateSessionId(held)],
      ['deleteSession', () => sessions.deleteSession(id)],
      ['deleteUserSessions', () => sessions.deleteUserSessions(user.userId)],
      [
        'deleteUserSessions of the others',
        () => sessions.deleteUserSessions(user.userId, { except: other.session.sessionId }),
      ],
      ['listUserSessions', () => sessions.listUserSessions(user.userId)],
      ['createSession at the limit', () => limited.sessions.createSession({ user })],
    ];
    for (const [name, call] of calls) {
      const outcome: unknown = await call().then(
        () => `${name} succeeded`,
        (error: unknown) => error,
      );
      expect(outcome).toBeInstanceOf(SessionBackendError);
      expect(outcome).toMatchObject(NEWER);
    }
    expect(await store.read(id)).toBe(newer);
    expect((await sessions.getSession(other.token)).sessionId).toBe(other.session.sessionId);

    // A process of the later version still has it in the index.
    await store.write(id, before);
    const listed = (await sessions.listUserSessions(user.userId)).map(({ sessionId }) => sessionId);
    expect(listed.sort()).toEqual([id, other.session.sessionId].sort());
    expect((await sessions.getSession(token)).data).toEqual({ kept: true });
    expect(await sessions.deleteUserSessions(user.userId)).toBe(2);
  });

  it('are told from those that have ended, and hide no other, where many are looked at', async () => {
    const records = service.context.get(SessionStore);
    const [newer, ended, other] = await atOnce(
      3,
      async () => (await service.sessions.createSession()).session.sessionId,
    );
    await store.write(newer!, newerText(await store.read(newer!)));
    await service.sessions.deleteSession(ended!);
    expect(await records.readMany([newer!, ended!, other!], records.newBudget())).toEqual([
      'unknown',
      null,
      expect.objectContaining({ record: expect.objectContaining({ id: other }) as object }),
    ]);
  });

  it('leave a login below the limit alone', async () => {
    const user = { userId: `user ${users++}` };
    const { session } = await limited.sessions.createSession({ user });
    await store.write(session.sessionId, newerText(await store.read(session.sessionId)));
    const { token } = await limited.sessions.createSession({ user });
    expect((await limited.sessions.getSession(token)).user?.userId).toBe(user.userId);
  });

  it('are spared by a logout everywhere else that comes from them', async () => {
    const user = { userId: `user ${users++}` };
    const { session } = await service.sessions.createSession({ user });
    await service.sessions.createSession({ user });
    const newer = newerText(await store.read(session.sessionId));
    await store.write(session.sessionId, newer);
    expect(await service.sessions.deleteUserSessions(user.userId, { except: session.sessionId })).toBe(1);
    expect(await store.read(session.sessionId)).toBe(newer);
  });

  it.each(PLATFORMS)('are a 503 that clears no cookie where a request wants to change one, on %s', async (platform) => {
    let change: (id: SessionId) => Promise<void> = () => Promise.resolve();

    @Controller()
    class ChangingController {
      @UseGuards(SessionGuard)
      @Get('change')
      async change(@CurrentSession() session: Session) {
        session.data.seen = true;
        await change(session.sessionId);
        return 'done';
      }
    }
    const app = await startApp({
      platform,
      controllers: [ChangingController],
      session: { backend: store.another(), tokenSourcePriority: ['cookie'] },
    });
    const { headers } = await logIn(app.app, { userId: 'ann' });
    change = async (id) => store.write(id, newerText(await store.read(id)));
    const response = await app.fetch('/change', { headers });
    expect(response.status).toBe(503);
    expect(response.headers.get('set-cookie')).toBeNull();
    expect(response.headers.get('retry-after')).not.toBeNull();
    const next = await app.fetch('/change', { headers: { ...headers, 'sec-fetch-mode': 'navigate' } });
    expect(next.status).toBe(503);
    expect(next.headers.get('set-cookie')).toBeNull();
    await app.close();
  });

  it('end no session of the old store while a user moves to another one', async () => {
    const memory = new MemoryBackend();
    const seeding = await startService(memory, {}, service.clock);
    const user = { userId: `user ${users++}` };
    const old = await seeding.sessions.createSession({ user });
    const { session } = await service.sessions.createSession({ user });
    await store.write(session.sessionId, newerText(await store.read(session.sessionId)));
    const moving = await startService(new MigratingBackend(store.another(), memory), {}, service.clock);
    await expect(moving.sessions.deleteUserSessions(user.userId)).rejects.toMatchObject(NEWER);
    expect((await moving.sessions.getSession(old.token)).user?.userId).toBe(user.userId);
    await Promise.all([seeding, moving].map(({ close }) => close()));
  });
});

describe("a list of a user's sessions that a later version has stored, on memcached", () => {
  it('is a 503 at every call, and stays as it is', async () => {
    const store = rawMemcached();
    await store.start();
    const { sessions, close } = await startService(store.another());
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
    const list = session.sessionId.slice(0, 16) as SessionId;
    const newer = (await store.read(list)).replace('sxl1 ', 'sxl2 ');
    await store.write(list, newer);
    const record = await store.read(session.sessionId);
    for (const call of [
      () => sessions.getSession(token),
      () => sessions.update(session.sessionId, () => undefined),
      () => sessions.renewSession(token),
      () => sessions.deleteSession(session.sessionId),
      () => sessions.listUserSessions('ann'),
      () => sessions.deleteUserSessions('ann'),
      () => sessions.createSession({ user: { userId: 'ann' } }),
    ]) {
      await expect(call()).rejects.toMatchObject(NEWER);
    }
    expect(await store.read(list)).toBe(newer);
    expect(await store.read(session.sessionId)).toBe(record);
    await close();
    await store.stop();
  });
});
