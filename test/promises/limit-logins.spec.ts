import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { SessionService, UseSession } from 'nestjs-sessionx';

import { startApp, type AppUnderTest } from '../support/apps.js';
import { everyBackend } from '../support/backends.js';

const ROUNDS = 10;
const CLIENTS = 12;

@UseSession()
@Controller()
class LoginController {
  constructor(private readonly sessions: SessionService) {}

  @HttpCode(200)
  @Post('start')
  async start(@Req() request: object) {
    const { token } = await this.sessions.start(request, { data: { cart: ['book'] } });
    return { token };
  }

  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { token } = await this.sessions.login(request, { userId: 'ann' });
    return { token };
  }
}

describe.each(everyBackend())('logins of visitors at once under a limit of sessions, on $name', (store) => {
  let app: AppUnderTest;
  let sessions: SessionService;

  async function start(maxSessionsPerUser: number): Promise<void> {
    const session = { backend: store.another(), maxSessionsPerUser };
    app = await startApp({ controllers: [LoginController], session });
    sessions = app.app.get(SessionService);
  }

  async function tokenOf(path: string, token?: string): Promise<string | null> {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await app.fetch(path, { method: 'POST', headers });
    if (response.status !== 200) {
      expect(response.status).toBe(409);
      return null;
    }
    return ((await response.json()) as { token: string }).token;
  }

  beforeEach(() => store.start());

  afterEach(async () => {
    await app.close();
    await store.stop();
  });

  it.each([1, 3])(
    'of two logins of one visitor one gets the cart, and none ends the other, with room for %i',
    async (max) => {
      await start(max);
      for (let round = 0; round < ROUNDS; round++) {
        const visitor = (await tokenOf('/start'))!;
        const tokens = await Promise.all([tokenOf('/login', visitor), tokenOf('/login', visitor)]);
        const living = tokens.filter((token) => token !== null);
        const carts = await Promise.all(
          living.map(async (token) => {
            // The second one may have come when the first one had the visitor's session.
            const session = await sessions.getSession(token).catch(() => null);
            return session?.data.cart;
          }),
        );
        expect(living.length).toBeGreaterThanOrEqual(1);
        if (living.length === 1) expect(carts).toEqual([['book']]);
        await expect(sessions.getSession(visitor)).rejects.toMatchObject({ status: 401 });
        app.clock.advanceSeconds(1);
      }
      const left = await sessions.listUserSessions('ann');
      expect(left.length).toBeGreaterThanOrEqual(1);
      expect(left.length).toBeLessThanOrEqual(max);
    },
  );

  it.each([1, 3])('each of many visitors gets in, and %i stay', async (max) => {
    await start(max);
    const visitors = await Promise.all(Array.from({ length: CLIENTS }, () => tokenOf('/start')));
    const tokens = await Promise.all(visitors.map((visitor) => tokenOf('/login', visitor!)));
    expect(tokens).not.toContain(null);
    const loaded = await Promise.allSettled(tokens.map((token) => sessions.getSession(token!)));
    expect(loaded.filter(({ status }) => status === 'fulfilled')).toHaveLength(max);
    expect(await sessions.listUserSessions('ann')).toHaveLength(max);
  });
});
