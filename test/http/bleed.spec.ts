import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, HttpCode, ImATeapotException, Param, Post, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  OptionalSession,
  Session,
  SessionGuard,
  SessionService,
  type SessionUser,
} from 'nestjs-sessionx';
import { request as httpRequest } from 'node:http';
import { setImmediate as eventLoopTurn } from 'node:timers/promises';

import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { memory, redis } from '../support/backends.js';
import { atOnce } from '../support/services.js';

const USERS = 1000;
const AT_ONCE = 100;

@UseGuards(SessionGuard)
@Controller()
class BusyController {
  /** Gives way to other requests so many times, between the session's arrival and its use. */
  @Get('who/:turns')
  async who(
    @Param('turns') turns: string,
    @CurrentSession() session: Session,
    @CurrentSession('user') user: SessionUser,
    @OptionalSession() optional: Session | null,
  ) {
    for (let turn = 0; turn < Number(turns); turn++) await eventLoopTurn();
    return { ids: [user.userId, session.user?.userId, optional?.user?.userId, session.data.owner] };
  }

  @HttpCode(200)
  @Post('write/:turns')
  async write(@Param('turns') turns: string, @CurrentSession() session: Session) {
    for (let turn = 0; turn < Number(turns); turn++) await eventLoopTurn();
    session.data.written = session.user?.userId;
    return { ids: [session.user?.userId] };
  }

  @Get('fails/:turns')
  async fails(@Param('turns') turns: string, @CurrentSession() session: Session): Promise<never> {
    for (let turn = 0; turn < Number(turns); turn++) await eventLoopTurn();
    throw new ImATeapotException({ ids: [session.user?.userId] });
  }
}

/** Sends a request and goes away without waiting for the answer. */
function sendAndLeave(url: string, headers: Record<string, string>): Promise<void> {
  return new Promise((resolve) => {
    const request = httpRequest(url, { method: 'POST', headers, agent: false });
    request.on('error', () => undefined);
    request.on('close', resolve);
    request.end(() => {
      request.destroy();
    });
  });
}

const setups = [memory(), redis()].flatMap((store) =>
  PLATFORMS.map((platform) => ({ store, platform, name: store.name })),
);

describe.each(setups)('1,000 users, 100 at once, on $name and $platform', ({ store, platform }) => {
  let app: AppUnderTest;

  beforeAll(async () => {
    await store.start();
    app = await startApp({
      platform,
      controllers: [BusyController],
      // Many at once on a loaded machine; how long they take is not the question here.
      session: { backend: store.another(), backendTimeout: 20_000 },
    });
  });

  afterAll(async () => {
    await app.close();
    await store.stop();
  });

  it('nobody is taken for anybody else, with errors, writes and clients that leave in between', async () => {
    const sessions = app.app.get(SessionService);
    const tokens = new Map<string, string>();
    for (let first = 0; first < USERS; first += AT_ONCE) {
      await atOnce(AT_ONCE, async (index) => {
        const userId = `user${first + index}`;
        tokens.set(userId, (await sessions.createSession({ user: { userId }, data: { owner: userId } })).token);
      });
    }
    let answered = 0;
    const users = [...tokens];
    for (let first = 0; first < USERS; first += AT_ONCE) {
      await Promise.all(
        users.slice(first, first + AT_ONCE).map(async ([userId, token], index) => {
          const headers = { authorization: `Bearer ${token}` };
          if (index % 5 === 0) await sendAndLeave(`${app.url}/write/${index % 7}`, headers);
          const [method, route] = (
            [
              ['GET', 'who'],
              ['POST', 'write'],
              ['GET', 'fails'],
            ] as const
          )[index % 3]!;
          const response = await app.fetch(`/${route}/${(index * 3) % 11}`, { method, headers });
          expect(response.status).toBe(route === 'fails' ? 418 : 200);
          const { ids } = (await response.json()) as { ids: string[] };
          expect(new Set(ids)).toEqual(new Set([userId]));
          answered++;
        }),
      );
    }
    expect(answered).toBe(USERS);
    await atOnce(USERS / 10, async (index) => {
      const [userId, token] = users[index * 10]!;
      const { user, data } = await sessions.getSession(token);
      expect([user?.userId, data.owner, data.written ?? userId]).toEqual([userId, userId, userId]);
    });
  });
});
