import { describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  MemoryBackend,
  Session,
  SESSION_CLOCK,
  SessionDataError,
  SessionModule,
  SessionNotFoundError,
  SessionUsageError,
  type Clock,
  type SessionUser,
} from 'nestjs-sessionx';
import { FakeClock, fakeSession } from 'nestjs-sessionx/testing';

import { SECRET_KEY } from '../support/apps.js';
import { startService } from '../support/services.js';

class CartController {
  add(session: Session, sku: string) {
    session.data.cart = [...((session.data.cart as string[] | undefined) ?? []), sku];
    session.addFlashMessage(`${sku} is in the cart`);
    return { owner: session.user?.username ?? 'guest', expiresAt: session.expiresAt };
  }
}

describe('a session for a unit test', () => {
  it('is what a handler is given, and shows what the handler did with it', () => {
    const clock = new FakeClock(1_000_000);
    const user = { userId: 'ann', username: 'Ann' };
    const session = fakeSession({ user, data: { cart: ['book'] }, ipAddress: '::ffff:192.0.2.1', ttl: 60, clock });
    expect(new CartController().add(session, 'pen')).toEqual({ owner: 'Ann', expiresAt: new Date(1_060_000) });
    expect(session).toBeInstanceOf(Session);
    expect(session.data).toEqual({ cart: ['book', 'pen'] });
    expect(session.getFlashMessages()).toEqual([
      { message: 'pen is in the cart', category: 'info', timestamp: new Date(1_000_000) },
    ]);
    expect(session.user).toEqual({ userId: 'ann', username: 'Ann', roles: [], permissions: [], metadata: {} });
    expect(session).toMatchObject({ ipAddress: '192.0.2.1', userAgent: null, status: 'active', isAnonymous: false });
    expect(user).toEqual({ userId: 'ann', username: 'Ann' });
  });

  it('is anonymous and empty unless told otherwise, and has an id of its own', () => {
    const [one, other] = [fakeSession(), fakeSession({ user: null })];
    expect([one.isAnonymous, one.user, one.data]).toEqual([true, null, {}]);
    expect(one.sessionId).toMatch(/^[\w-]{59}$/);
    expect(one.sessionId).not.toBe(other.sessionId);
    expect(one.expiresAt.getTime() - one.createdAt.getTime()).toBe(3_600_000);
    expect(new CartController().add(other, 'pen').owner).toBe('guest');
  });

  it('has the proof of identity that it is given', () => {
    const clock = new FakeClock(1_000_000);
    const user = { userId: 'ann' };
    expect(fakeSession({ user, clock })).toMatchObject({ authenticatedAt: new Date(1_000_000), authMethods: [] });
    const authenticatedAt = new Date(400_000);
    const session = fakeSession({ user, clock, authenticatedAt, authMethods: ['pwd', 'otp'] });
    expect(session).toMatchObject({ authenticatedAt, authMethods: ['pwd', 'otp'], createdAt: new Date(1_000_000) });
    expect(fakeSession()).toMatchObject({ authenticatedAt: null, authMethods: [] });
    expect(() => fakeSession({ authMethods: ['pwd'] })).toThrow(SessionUsageError);
    expect(() => fakeSession({ authenticatedAt })).toThrow(SessionUsageError);
    expect(() => fakeSession({ user, authMethods: 'pwd' as never })).toThrow(SessionUsageError);
  });

  it('refuses what no session can hold', () => {
    expect(() => fakeSession({ data: { when: new Date() } })).toThrow(SessionDataError);
    expect(() => fakeSession({ user: { userId: 7 } as unknown as SessionUser })).toThrow(SessionDataError);
  });

  it('is in no store', async () => {
    const { sessions, close } = await startService(new MemoryBackend());
    const session = fakeSession({ user: { userId: 'ann' } });
    session.data.changed = true;
    await expect(sessions.updateSession(session)).rejects.toBeInstanceOf(SessionNotFoundError);
    expect(await sessions.listUserSessions('ann')).toEqual([]);
    await close();
  });
});

it('the clock of the sessions can be injected, where the module is imported and where it is global', async () => {
  @Injectable()
  class Calendar {
    constructor(@Inject(SESSION_CLOCK) readonly clock: Clock) {}
  }

  @Module({ providers: [Calendar] })
  class CalendarModule {}

  const clock = new FakeClock();
  for (const isGlobal of [true, false]) {
    const sessions = SessionModule.forRoot({
      secretKey: SECRET_KEY,
      isGlobal,
      extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
    });
    const imports = isGlobal ? [sessions, CalendarModule] : [sessions];
    const context = await Test.createTestingModule({ imports, providers: isGlobal ? [] : [Calendar] }).compile();
    expect(context.get(Calendar, { strict: false }).clock).toBe(clock);
    expect(context.get(SESSION_CLOCK, { strict: false })).toBe(clock);
    await context.close();
  }
});
