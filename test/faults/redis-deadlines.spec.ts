import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SessionBackendError } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { RedisServer } from '../support/redis-server.js';
import { ScriptGate } from '../support/script-gate.js';
import { atOnce, startService, type ServiceUnderTest } from '../support/services.js';

const TIMEOUT_MS = 500;
const HOUR_MS = 3_600_000;

describe('what is believed of the clock of Redis', () => {
  let redis: RedisServer;
  let gate: ScriptGate;
  let service: ServiceUnderTest;
  let userId: string;
  let users = 0;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });

  beforeEach(async () => {
    gate = new ScriptGate(redis.port, 10_000);
    service = await startService(new RedisBackend(gate.client), { backendTimeout: TIMEOUT_MS });
    userId = `user ${users++}`;
    gate.scripts = 0;
  });

  afterEach(async () => {
    gate.heal();
    await service.close();
    gate.client.disconnect();
  });

  afterAll(() => redis.stop());

  const logIn = () => service.sessions.createSession({ user: { userId } });

  async function scriptsOf(call: () => Promise<unknown>): Promise<number> {
    const before = gate.scripts;
    await call();
    return gate.scripts - before;
  }

  /** Of some calls: on a slow machine one may come when the last one is more than a second ago. */
  async function leastScriptsOf(call: () => Promise<unknown>): Promise<number> {
    let least = Infinity;
    for (let times = 0; times < 5; times++) least = Math.min(least, await scriptsOf(call));
    return least;
  }

  it('costs the first login a question, and those after it none', async () => {
    expect(await scriptsOf(logIn)).toBe(2);
    expect(await leastScriptsOf(logIn)).toBe(1);
  });

  it('is asked once for all logins that need it at a time', async () => {
    expect(await scriptsOf(() => atOnce(20, logIn))).toBe(21);
  });

  it('is asked anew when it is older than a second, or the connection is another one', async () => {
    await logIn();
    await sleep(1_100);
    expect(await scriptsOf(logIn)).toBe(2);
    const ready = once(gate.client, 'ready');
    gate.client.disconnect(true);
    await ready;
    expect(await scriptsOf(logIn)).toBe(2);
  });

  it.each([-HOUR_MS, HOUR_MS])('refuses no login that is in time when it is wrong by %i ms', async (shiftMs) => {
    await logIn();
    gate.shiftTime(shiftMs);
    await logIn();
    gate.shiftTime(0);
    expect(await scriptsOf(logIn)).toBe(2);
    expect(await leastScriptsOf(logIn)).toBe(1);
  });

  it.each([0, HOUR_MS])(
    'lets no login through that Redis comes to too late when it is wrong by %i ms',
    async (shiftMs) => {
      await logIn();
      gate.shiftTime(shiftMs);
      await logIn();
      gate.shiftTime(0);
      const held = gate.holdScripts(0);
      const login = logIn();
      await held;
      await expect(login).rejects.toBeInstanceOf(SessionBackendError);
      gate.heal();
      await gate.client.ping();
      expect(await service.sessions.listUserSessions(userId)).toHaveLength(2);
    },
  );
});
