import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describeDriverFailure } from '../../src/backends/driver-failure.js';
import { until } from '../support/redis-cluster.js';
import { RedisServer } from '../support/redis-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

const USER = { userId: 'ann' };

let redis: RedisServer;
let observer: Redis;
let service: ServiceUnderTest;

beforeEach(async () => {
  redis = await RedisServer.start('--enable-protected-configs', 'yes');
  observer = redis.client();
  service = await startService(new RedisBackend(redis.url));
});

afterEach(async () => {
  await service.close();
  await observer.quit();
  await redis.stop();
});

describe('a Redis that refuses', () => {
  /** The folder of its dump is gone, so that saving fails. */
  async function cannotSave(): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'sessionx-test-'));
    await observer.config('SET', 'dir', folder);
    rmSync(folder, { recursive: true });
    await observer.config('SET', 'save', '3600 1');
    await observer.bgsave();
    await until('saving has failed', async () =>
      (await observer.info('persistence')).includes('last_bgsave_status:err'),
    );
  }

  const states: { word: string; begin: () => Promise<unknown>; ends: boolean }[] = [
    { word: 'OOM', begin: () => observer.config('SET', 'maxmemory', '1'), ends: true },
    { word: 'MISCONF', begin: cannotSave, ends: false },
    { word: 'NOREPLICAS', begin: () => observer.config('SET', 'min-replicas-to-write', '1'), ends: false },
    { word: 'READONLY', begin: () => observer.replicaof('127.0.0.1', '1'), ends: false },
  ];

  it.each(states)(
    'with $word: reads and lists, makes and changes nothing, and can end a session: $ends',
    async ({ word, begin, ends }) => {
      const { session, token } = await service.sessions.createSession({ user: USER });
      const { session: other } = await service.sessions.createSession({ user: USER });
      await observer.config('SET', 'replica-serve-stale-data', 'yes');
      await begin();
      const refused = { status: 503, message: expect.stringContaining(word) };
      // A connection that met READONLY is made anew.
      const eventually = async <T>(call: () => Promise<T>): Promise<T> => {
        for (;;) {
          try {
            return await call();
          } catch (error) {
            if (!String(error).includes('not connected')) throw error;
          }
          await sleep(10);
        }
      };

      expect((await eventually(() => service.sessions.getSession(token))).user).toMatchObject(USER);
      expect(await service.sessions.listUserSessions('ann')).toHaveLength(2);
      await expect(service.sessions.getSession(`${token.slice(0, -1)}x`)).rejects.toMatchObject({ status: 401 });
      await expect(eventually(() => service.sessions.createSession({ user: USER }))).rejects.toMatchObject(refused);
      const change = () =>
        service.sessions.update(session.sessionId, ({ data }) => {
          data.changed = true;
        });
      await expect(eventually(change)).rejects.toMatchObject(refused);
      const one = await eventually(() => service.sessions.deleteSession(other.sessionId)).catch(
        (error: unknown) => error,
      );
      const all = await eventually(() => service.sessions.deleteUserSessions('ann')).catch((error: unknown) => error);
      if (ends) {
        expect(one).not.toBeInstanceOf(Error);
        expect(all).toBe(1);
      } else {
        expect(one).toMatchObject(refused);
        expect(all).toMatchObject(refused);
      }
    },
  );
});

describe('a value of another application under the key of an index', () => {
  const values: [kind: string, write: (key: string) => Promise<unknown>][] = [
    ['string', (key) => observer.set(key, 'theirs')],
    ['list', (key) => observer.rpush(key, 'theirs')],
    ['hash', (key) => observer.hset(key, 'their', 'field')],
  ];

  it.each(values)('of the type %s is named once, with how to mend it, and never removed', async (kind, write) => {
    const errors = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const { session, token } = await service.sessions.createSession({ user: USER });
    const tag = session.sessionId.slice(0, 16);
    const index = `session:{${tag}}`;
    await observer.rename(index, 'aside');
    await write(index);
    for (let round = 0; round < 3; round++) {
      await expect(service.sessions.createSession({ user: USER })).rejects.toMatchObject({
        status: 503,
        message: expect.stringContaining('a value of another application'),
      });
      await expect(service.sessions.deleteUserSessions('ann')).rejects.toMatchObject({ status: 503 });
      await expect(service.sessions.listUserSessions('ann')).rejects.toMatchObject({ status: 503 });
    }
    expect((await service.sessions.getSession(token)).user).toMatchObject(USER);
    const named = () => errors.mock.calls.map(([line]) => String(line)).filter((line) => line.includes(tag));
    await until('it is named', () => named().length > 0);
    expect(named()).toEqual([expect.stringMatching(new RegExp(`index.*a ${kind},.*backendKeyPrefix.*by hand`))]);
    expect(await observer.type(index)).toBe(kind);
    // Another user's sessions are as before.
    await service.sessions.createSession({ user: { userId: 'bob' } });

    await observer.del(index);
    await observer.rename('aside', index);
    expect(await service.sessions.deleteUserSessions('ann')).toBe(1);
    errors.mockRestore();
  });
});

it('of what a Redis refuses, the name of a known command passes into the log, and nothing else', () => {
  const failure = (message: string) => describeDriverFailure(Object.assign(new Error(message), { name: 'ReplyError' }));
  for (const [message, described] of [
    [
      "NOPERM this user has no permissions to run the 'get' command",
      'ReplyError NOPERM (the server refuses the command get)',
    ],
    [
      "NOPERM User s3cret has no permissions to run the 'client|info' command",
      'ReplyError NOPERM (the server refuses the command client|info)',
    ],
    [
      "ERR unknown command 'evalsha', with args beginning with: 's3cret' 's3cret'",
      'ReplyError ERR (the server refuses the command evalsha)',
    ],
    [
      'ERR unknown command `EVAL`, with args beginning with: `s3cret`, ',
      'ReplyError ERR (the server refuses the command eval)',
    ],
    ["ERR unknown command 's3cret', with args beginning with: 's3cret'", 'ReplyError ERR'],
    ["NOPERM this user has no permissions to run the 's3cret' command", 'ReplyError NOPERM'],
    [
      'NOPERM this user has no permissions to access one of the keys used as arguments',
      'ReplyError NOPERM (the user may not touch these keys)',
    ],
    [
      "ERR The user executing the script can't run this command or subcommand script: s3cret, on @user_script:1.",
      'ReplyError ERR (the user may not run a command that a script needs)',
    ],
  ] as const) {
    expect(failure(message)).toBe(described);
  }
});
