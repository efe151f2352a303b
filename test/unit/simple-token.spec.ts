import { describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { createHmac } from 'node:crypto';
import { MemoryBackend, SessionBackendError, SessionUsageError, type TokenSerializer } from 'nestjs-sessionx';

import { systemClock } from '../../src/clock.js';
import { SessionFactory } from '../../src/sessions/session-factory.js';
import { BoundedSerializer } from '../../src/tokens/bounded-serializer.js';
import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, isSessionId, newSecret, sessionIdOf, userTag } from '../../src/tokens/session-secret.js';
import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import { TokenVerifier } from '../../src/tokens/token-verifier.js';
import { SECRET_KEY } from '../support/apps.js';
import { runScript } from '../support/run-script.js';
import { startService } from '../support/services.js';

const KEY_1 = 'key number one, long enough to be a key';
const KEY_2 = 'key number two, long enough to be a key';
const random = new RandomPool();
const serializer = new SimpleTokenSerializer({ keys: [KEY_1], namespace: 'session:' });
const claims = { secret: newSecret(anonymousTag(random), random), issuedAt: 1_790_000_000_123 };
const token = serializer.serialize(claims);

describe('a simple token', () => {
  it('is 100 plain characters, and comes back as it went in', () => {
    expect(token).toMatch(/^[\w-]{56}\.[\w-]{43}$/);
    expect(serializer.verify(token)).toEqual({ valid: true, claims, outdated: false });
  });

  it('does not verify with any bit flipped', () => {
    const bytes = Buffer.from(token, 'latin1');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(serializer.verify(flipped.toString('latin1')).valid).toBe(false);
    }
  });

  it('has one spelling: what Node decodes to the same bytes is refused', () => {
    const last = token.at(-1)!;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const siblings = [...alphabet].filter((letter) => letter !== last).map((letter) => token.slice(0, -1) + letter);
    const variants = [
      `${token}=`,
      `${token}!`,
      ` ${token}`,
      `${token}\n`,
      token.replace(/-/g, '+').replace(/_/g, '/'),
      `${token}=AAAA`,
    ];
    for (const variant of [...siblings, ...variants.filter((text) => text !== token)]) {
      expect(serializer.verify(variant).valid).toBe(false);
    }
  });

  it.each([
    '',
    '.',
    'a'.repeat(8000),
    'eyJhbGciOiJub25lIn0.e30.',
    `${'A'.repeat(56)}.${'A'.repeat(43)}`,
    '\u0141'.repeat(100),
    `${token}.${token}`,
  ])('is not %j', (text) => {
    expect(serializer.verify(text).valid).toBe(false);
  });

  it('is not what the same key signs for another purpose, another application, or by another algorithm', () => {
    const body = token.slice(0, 56);
    for (const [algorithm, text] of [
      ['sha256', body],
      ['sha256', `nestjs-sessionx/user-tag/v1\0${body}`],
      ['sha1', `nestjs-sessionx/session-token/v1\0session:\0${body}`],
    ] as const) {
      const mac = createHmac(algorithm, KEY_1).update(text).digest('base64url');
      expect(serializer.verify(`${body}.${mac}`).valid).toBe(false);
    }
    expect(new SimpleTokenSerializer({ keys: [KEY_1], namespace: 'other:' }).verify(token).valid).toBe(false);
  });

  it('verifies under every key of the list, and is outdated under all but the first', () => {
    const rotated = new SimpleTokenSerializer({ keys: [KEY_2, KEY_1], namespace: 'session:' });
    expect(rotated.verify(token)).toMatchObject({ valid: true, outdated: true });
    expect(rotated.verify(rotated.serialize(claims))).toMatchObject({ valid: true, outdated: false });
    expect(new SimpleTokenSerializer({ keys: [KEY_2], namespace: 'session:' }).verify(token)).toEqual({
      valid: false,
      fault: 'TOKEN_FORGED',
    });
  });
});

describe('the verifier', () => {
  it('remembers tokens that held, and only those', async () => {
    let verified = 0;
    const verifier = new TokenVerifier(
      {
        verdictsAreFinal: true,
        serialize: () => token,
        verify: (text) => {
          verified++;
          return serializer.verify(text);
        },
      },
      systemClock,
    );
    for (let use = 0; use < 3; use++)
      expect(await verifier.verify(token)).toMatchObject({ valid: true, sessionId: sessionIdOf(claims.secret) });
    expect(verified).toBe(1);
    for (let use = 0; use < 3; use++) expect((await verifier.verify('forged')).valid).toBe(false);
    expect(verified).toBe(4);
  });

  it('forgets the oldest of more than 10,000 tokens', () => {
    const verified: string[] = [];
    const verifier = new TokenVerifier(
      {
        verdictsAreFinal: true,
        serialize: () => token,
        verify: (text) => {
          verified.push(text);
          return { valid: true, claims, outdated: false };
        },
      },
      systemClock,
    );
    for (let count = 0; count < 10_001; count++) void verifier.verify(`token-${count}`);
    for (const text of ['token-1', 'token-10000', 'token-0']) void verifier.verify(text);
    expect(verified.slice(10_001)).toEqual(['token-0']);
  });

  it('shows the serializer no text of more than 4,096 characters', () => {
    const verify = jest.fn(() => ({ valid: true as const, claims, outdated: false }));
    const verifier = new TokenVerifier({ serialize: () => token, verify }, systemClock);
    expect(verifier.verify('x'.repeat(4097))).toEqual({ valid: false, fault: 'TOKEN_MALFORMED' });
    expect(verify).not.toHaveBeenCalled();
    expect(verifier.verify('x'.repeat(4096))).toMatchObject({ valid: true });
  });

  it('rejects the token when the serializer throws, rejects, or names a secret that is none', async () => {
    const failing = [
      () => {
        throw new Error('no');
      },
      () => Promise.reject(new Error('no')),
      () => ({ valid: true as const, claims: { secret: '../../x' as never, issuedAt: 0 }, outdated: false }),
    ];
    for (const verify of failing) {
      expect((await new TokenVerifier({ serialize: () => '', verify }, systemClock).verify(token)).valid).toBe(false);
    }
  });
});

it.each([null, undefined, 7, {}])(
  'a serializer whose token is %j is a usage error, also by a promise',
  async (none) => {
    for (const made of [none, Promise.resolve(none)]) {
      const tokenFormat: TokenSerializer = {
        serialize: () => made as never,
        verify: () => ({ valid: false, fault: 'TOKEN_FORGED' }),
      };
      const { sessions, close } = await startService(new MemoryBackend(), { tokenFormat });
      await expect(sessions.createSession()).rejects.toThrow(SessionUsageError);
      await close();
    }
  },
);

it('a serializer that says nothing of its verdicts may refuse a token that it has accepted before', async () => {
  let isRevoked = false;
  const tokenFormat: TokenSerializer = {
    serialize: () => token,
    verify: () => (isRevoked ? { valid: false, fault: 'TOKEN_FORGED' } : { valid: true, claims, outdated: false }),
  };
  const { sessions, close } = await startService(new MemoryBackend(), { tokenFormat });
  await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  isRevoked = true;
  await expect(sessions.getSession(token)).rejects.toMatchObject({ code: 'TOKEN_FORGED' });
  await close();
});

describe('what the verifier remembers', () => {
  it('is the token alone, not the header that it was a part of', async () => {
    const kilobytes = await runScript(`
      import { setTimeout as sleep } from 'node:timers/promises';
      import { systemClock } from './src/clock.ts';
      import { RandomPool } from './src/tokens/random-pool.ts';
      import { anonymousTag, newSecret } from './src/tokens/session-secret.ts';
      import { SimpleTokenSerializer } from './src/tokens/simple-token.serializer.ts';
      import { TokenVerifier } from './src/tokens/token-verifier.ts';

      const random = new RandomPool();
      const serializer = new SimpleTokenSerializer({ keys: [${JSON.stringify(KEY_1)}], namespace: '' });
      const verifier = new TokenVerifier(serializer, systemClock);
      const TOKENS = 2_000;

      async function heapUsed() {
        for (let pass = 0; pass < 3; pass++) { await sleep(10); gc(); }
        return process.memoryUsage().heapUsed;
      }
      function present() {
        const token = serializer.serialize({ secret: newSecret(anonymousTag(random), random), issuedAt: 1 });
        const header = Buffer.from('session=' + token + '; other=' + 'x'.repeat(12_000)).toString('latin1');
        const verdict = verifier.verify(header.slice(8, 108));
        if (!verdict.valid || verifier.verify(token) !== verdict) throw new Error('not remembered');
      }
      present();
      const before = await heapUsed();
      for (let count = 0; count < TOKENS; count++) present();
      const after = await heapUsed();
      if (!verifier.verify('').valid) console.log((after - before) / TOKENS / 1024);`);
    // The whole header takes twelve.
    expect(Number(kilobytes)).toBeGreaterThan(0.1);
    expect(Number(kilobytes)).toBeLessThan(2);
  });
});

describe('a serializer that does not settle', () => {
  const never = () => new Promise<never>(() => undefined);
  const options = (tokenFormat: TokenSerializer) => ({ tokenFormat, backendTimeout: 50 });

  it('is a 503 in time where it signs, and nothing is stored', async () => {
    const backend = new MemoryBackend();
    const created = jest.spyOn(backend, 'create');
    const service = await startService(backend, options({ serialize: never, verify: serializer.verify }));
    await expect(service.sessions.createSession()).rejects.toMatchObject({ status: 503, code: 'BACKEND_TIMEOUT' });
    expect(created).not.toHaveBeenCalled();
    await service.close();
  });

  it('is a 503 in time where it verifies, not a 401', async () => {
    const service = await startService(new MemoryBackend(), options({ serialize: () => token, verify: never }));
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ status: 503, code: 'BACKEND_TIMEOUT' });
    await expect(service.sessions.renewSession(token)).rejects.toThrow(SessionBackendError);
    await service.close();
  });

  it('is said once a minute', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const service = await startService(new MemoryBackend(), options({ serialize: never, verify: never }));
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(service.sessions.getSession(token)).rejects.toThrow(SessionBackendError);
    }
    await expect(service.sessions.createSession()).rejects.toThrow(SessionBackendError);
    expect(error.mock.calls).toEqual([
      [expect.stringContaining('TokenSerializer.verify() did not settle within backendTimeout (50 ms)')],
      [expect.stringContaining('TokenSerializer.serialize() did not settle within backendTimeout (50 ms)')],
    ]);
    await service.close();
    error.mockRestore();
  });

  it('that says by a SessionBackendError that it cannot decide is a 503 too', async () => {
    const undecided = new SessionBackendError('BACKEND_UNAVAILABLE', 'The keys are out of reach.');
    for (const verify of [
      () => Promise.reject(undecided),
      () => {
        throw undecided;
      },
    ]) {
      const service = await startService(new MemoryBackend(), options({ serialize: () => token, verify }));
      await expect(service.sessions.getSession(token)).rejects.toBe(undecided);
      await service.close();
    }
  });

  it('leaves no timer behind where it settles later', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const later: TokenSerializer = { serialize: () => Promise.resolve(token), verify: serializer.verify };
    const service = await startService(new MemoryBackend(), { tokenFormat: later, backendTimeout: 60_000 });
    await service.sessions.createSession();
    const before = timers();
    await service.sessions.createSession();
    expect(timers()).toBe(before);
    await service.close();
  });

  it('starts no timer where it settles at once', async () => {
    const timeout = jest.spyOn(globalThis, 'setTimeout');
    const service = await startService(new MemoryBackend());
    const { token: own } = await service.sessions.createSession();
    timeout.mockClear();
    const bounded = service.context.get(BoundedSerializer);
    expect(bounded.verify(own)).toMatchObject({ valid: true });
    expect(bounded.serialize(claims)).toBe(
      new SimpleTokenSerializer({ keys: [SECRET_KEY], namespace: 'session:' }).serialize(claims),
    );
    expect(timeout).not.toHaveBeenCalled();
    timeout.mockRestore();
    await service.close();
  });
});

describe('secrets and ids', () => {
  it('10,000 secrets are different, and every bit of them is set about half of the time', () => {
    const secrets = Array.from({ length: 10_000 }, () => newSecret(anonymousTag(random), random));
    expect(new Set(secrets).size).toBe(secrets.length);
    const counts = new Array<number>(36 * 8).fill(0);
    for (const secret of secrets) {
      const bytes = Buffer.from(secret, 'base64url');
      for (let bit = 0; bit < counts.length; bit++) counts[bit]! += (bytes[bit >> 3]! >> (bit & 7)) & 1;
    }
    // Six standard deviations of a fair coin: 300.
    for (const count of counts) expect(Math.abs(count - 5000)).toBeLessThan(300);
  });

  it('200,000 secrets in a burst are different, over the edges of the pool and for several pools', () => {
    const pools = Array.from({ length: 4 }, () => new RandomPool());
    const secrets = new Set<string>();
    for (let index = 0; index < 200_000; index++) secrets.add(pools[index % 4]!.base64url(24));
    expect(secrets.size).toBe(200_000);
    for (const bytes of [1, 9, 12, 24, 4096])
      expect(Buffer.from(pools[0]!.base64url(bytes), 'base64url')).toHaveLength(bytes);
  });

  it('the pool of random bytes keeps none that it has given out', () => {
    const alloc = jest.spyOn(Buffer, 'alloc');
    const pool = new RandomPool();
    const [bytes] = alloc.mock.results.map(({ value }) => value as Buffer);
    alloc.mockRestore();
    const [first, second] = [pool.base64url(24), pool.base64url(24)];
    for (const text of [first, second]) expect(bytes!.includes(Buffer.from(text, 'base64url'))).toBe(false);
    // The bytes that come next are there, so this is the pool.
    expect(bytes!.subarray(48, 72).toString('base64url')).toBe(pool.base64url(24));
  });

  it('without random bytes there is no session, and no weaker id', async () => {
    const { context, sessions, close } = await startService(new MemoryBackend());
    const { session, token } = await sessions.createSession({ user: { userId: 'ann' } });
    context.get(SessionFactory, { strict: false }).random.base64url = () => {
      throw new Error('the generator has failed');
    };
    await expect(sessions.createSession()).rejects.toThrow('the generator has failed');
    await expect(sessions.createSession({ user: { userId: 'ann' } })).rejects.toThrow('the generator has failed');
    await expect(sessions.regenerateSessionId(session)).rejects.toThrow('the generator has failed');
    expect(await sessions.listUserSessions('ann')).toHaveLength(1);
    expect((await sessions.getSession(token)).sessionId).toBe(session.sessionId);
    await close();
  });

  it('an id shows nothing of the secret but the tag, and has one spelling', () => {
    const id = sessionIdOf(claims.secret);
    expect(id).toHaveLength(59);
    expect(isSessionId(id)).toBe(true);
    expect(id.slice(0, 16)).toBe(claims.secret.slice(0, 16));
    expect(id).not.toContain(claims.secret.slice(16));
    for (const wrong of [
      '',
      'null',
      `${id}=`,
      ` ${id}`,
      id.slice(1),
      `${id.slice(0, -1)}B`,
      `{${id.slice(2)}}`,
      undefined,
      null,
      [id],
    ]) {
      expect(isSessionId(wrong)).toBe(false);
    }
  });

  it('a tag follows from key and user, and from both', () => {
    expect(userTag(KEY_1, 'ann')).toBe(userTag(KEY_1, 'ann'));
    expect(userTag(KEY_1, 'ann')).not.toBe(userTag(KEY_2, 'ann'));
    expect(userTag(KEY_1, 'ann')).not.toBe(userTag(KEY_1, 'bob'));
    expect(userTag(KEY_1, 'ann')).toMatch(/^[\w-]{16}$/);
  });
});
