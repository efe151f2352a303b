import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { CompactEncrypt, CompactSign, SignJWT, UnsecuredJWT, type JWTHeaderParameters } from 'jose';
import { createHmac, createSecretKey, generateKeyPairSync, hkdfSync } from 'node:crypto';
import { FakeClock } from 'nestjs-sessionx/testing';

import { JwtTokenSerializer, type JwtTokenOptions } from '../../src/tokens/jwt-token.serializer.js';
import { loadJose } from '../../src/tokens/load-jose.js';
import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf } from '../../src/tokens/session-secret.js';
import { SimpleTokenSerializer } from '../../src/tokens/simple-token.serializer.js';
import type { TokenVerdict } from '../../src/tokens/token-serializer.interface.js';
import { TokenVerifier } from '../../src/tokens/token-verifier.js';

const KEY_1 = 'key number one, long enough to be a key';
const KEY_2 = 'key number two, long enough to be a key';
const OPTIONS: JwtTokenOptions = {
  keys: [KEY_1],
  namespace: 'session:',
  issuer: 'nestjs-sessionx',
  audience: 'nestjs-sessionx',
  leeway: 60,
};
const random = new RandomPool();
const secret = newSecret(anonymousTag(random), random);
const clock = new FakeClock();
const issuedAt = clock.now() + 123;
const claims = { secret, issuedAt };
/** The key that is derived from `KEY_1`: what follows may only be accepted if it is exactly as the serializer writes it. */
const derived = Buffer.from(hkdfSync('sha256', KEY_1, '', 'nestjs-sessionx/jwt-key/v1\0session:', 32));
const signingKey = createSecretKey(derived);

/** Verifies, and signs nothing: a token that it had signed itself would not be verified by its MAC. */
let serializer: JwtTokenSerializer;
let signer: JwtTokenSerializer;
let token: string;
let header: JWTHeaderParameters;
let payload: Record<string, unknown>;

const create = (options: Partial<JwtTokenOptions> = {}) => JwtTokenSerializer.create({ ...OPTIONS, ...options }, clock);
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const decode = (part: string | undefined) =>
  JSON.parse(Buffer.from(part!, 'base64url').toString()) as Record<string, unknown>;
/** A token of any two texts, under the right key unless another is given. */
const signed = (head: unknown, body: unknown, key: Buffer | string = derived, algorithm = 'sha256') => {
  const text = `${encode(head)}.${encode(body)}`;
  return `${text}.${createHmac(algorithm, key).update(text).digest('base64url')}`;
};
const faultOf = async (text: string): Promise<string> => {
  const verdict: TokenVerdict = await serializer.verify(text);
  return verdict.valid ? 'valid' : verdict.fault;
};

beforeAll(async () => {
  clock.advance(1000);
  serializer = await create();
  signer = await create();
  token = await signer.serialize(claims);
  const [head, body] = token.split('.');
  header = decode(head) as unknown as JWTHeaderParameters;
  payload = decode(body);
});

describe('a JWT', () => {
  it('carries the secret and the times to the millisecond, and comes back as it went in', async () => {
    expect(await serializer.verify(token)).toEqual({ valid: true, claims, outdated: false });
    expect(header).toEqual({
      alg: 'HS256',
      typ: 'nestjs-sessionx+jwt',
      kid: expect.stringMatching(/^[\w-]{16}$/) as unknown,
    });
    expect(payload).toEqual({ secret, iss: 'nestjs-sessionx', aud: 'nestjs-sessionx', iat: issuedAt / 1000 });
    expect(token.length).toBeLessThan(400);
  });

  it('has an end only where its session has one, exact to the millisecond', async () => {
    const expiresAt = clock.now() + 10_001;
    const ending = await signer.serialize({ ...claims, expiresAt });
    expect(decode(ending.split('.')[1])).toEqual({ ...payload, exp: expiresAt / 1000 });
    expect(await serializer.verify(ending)).toEqual({ valid: true, claims: { ...claims, expiresAt }, outdated: false });
    clock.advance(10_000);
    expect(await faultOf(ending)).toBe('valid');
    clock.advance(1);
    expect(await faultOf(ending)).toBe('TOKEN_EXPIRED');
    clock.advance(1_000_000);
    expect(await faultOf(ending)).toBe('TOKEN_EXPIRED');
    expect(await faultOf(token)).toBe('valid');
    clock.advance(-1_010_001);
  });

  it('does not verify with any bit flipped', async () => {
    const bytes = Buffer.from(token, 'latin1');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(await faultOf(flipped.toString('latin1'))).toMatch(/TOKEN_(MALFORMED|FORGED)/);
    }
  });

  it('has one spelling: no other last character of a part, no padding, no white space, nothing behind it', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const [head, body, mac] = token.split('.') as [string, string, string];
    for (const [index, part] of [head, body, mac].entries()) {
      for (const letter of alphabet) {
        if (part.endsWith(letter)) continue;
        const parts = [head, body, mac];
        parts[index] = part.slice(0, -1) + letter;
        expect(await faultOf(parts.join('.'))).not.toBe('valid');
      }
      for (const other of [`${part}=`, ` ${part}`, `${part}\n`, `${part.slice(0, 4)}\n${part.slice(4)}`, '']) {
        const parts = [head, body, mac];
        parts[index] = other;
        expect(await faultOf(parts.join('.'))).toBe('TOKEN_MALFORMED');
      }
    }
    for (const text of [`${token}.`, `.${token}`, `${token}.${mac}`, `${token}.${mac}.${mac}`, `${token}${token}`]) {
      expect(await faultOf(text)).toBe('TOKEN_MALFORMED');
    }
  });

  it('is refused with spare bits or white space in what the right key has signed', async () => {
    const [head, body] = token.split('.') as [string, string];
    for (const text of [
      `${head}.${encode(JSON.stringify(payload, null, 1))}`,
      `${head}.${encode(`${JSON.stringify(payload)} `)}`,
      `${encode(`${JSON.stringify(header)} `)}.${body}`,
      `${head}.${encode(JSON.stringify(payload).replace('secret', '\\u0073ecret'))}`,
    ]) {
      const mac = createHmac('sha256', derived).update(text).digest('base64url');
      expect(await faultOf(`${text}.${mac}`)).toMatch(/TOKEN_(MALFORMED|FORGED)/);
    }
    const odd = [encode({ ...payload, x: 1 }), encode({ ...payload, x: 12 }), encode({ ...payload, x: 123 })];
    const spare = odd.find((text) => text.length % 4 !== 0)!;
    const next = String.fromCharCode(spare.charCodeAt(spare.length - 1) + 1);
    const text = `${head}.${spare.slice(0, -1)}${next}`;
    const mac = createHmac('sha256', derived).update(text).digest('base64url');
    expect(await faultOf(`${text}.${mac}`)).toBe('TOKEN_MALFORMED');
  });

  it.each<[string, () => string | Promise<string>]>([
    ['nothing', () => ''],
    ['two dots', () => '..'],
    ['8,000 characters', () => 'a'.repeat(8000)],
    ['a long header', () => `${'A'.repeat(2000)}.A.${'A'.repeat(43)}`],
    ['no algorithm', () => new UnsecuredJWT({ ...payload }).encode()],
    ['no algorithm, beside our MAC', () => signed({ ...header, alg: 'none' }, payload)],
    ['no algorithm in capitals', () => signed({ ...header, alg: 'NoNe' }, payload)],
    ['an empty algorithm', () => signed({ ...header, alg: '' }, payload)],
    [
      'HS512',
      () => new SignJWT({ ...payload }).setProtectedHeader({ ...header, alg: 'HS512' }).sign(Buffer.alloc(64, derived)),
    ],
    ['HS512 in the header alone', () => signed({ ...header, alg: 'HS512' }, payload)],
    ['hs256', () => signed({ ...header, alg: 'hs256' }, payload)],
    [
      'RS256, whose public key is taken for a secret',
      () => {
        const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        return new SignJWT({ ...payload }).setProtectedHeader({ ...header, alg: 'RS256' }).sign(privateKey);
      },
    ],
    ['RS256 in the header, with a MAC by our key', () => signed({ ...header, alg: 'RS256' }, payload)],
    [
      'ES256',
      () => {
        const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        return new SignJWT({ ...payload }).setProtectedHeader({ ...header, alg: 'ES256' }).sign(privateKey);
      },
    ],
    ['crit', () => signed({ ...header, crit: ['exp'], exp: 1 }, payload)],
    ['crit that names nothing', () => signed({ ...header, crit: [] }, payload)],
    ['b64: false', () => signed({ ...header, b64: false, crit: ['b64'] }, payload)],
    ['b64: true', () => signed({ ...header, b64: true, crit: ['b64'] }, payload)],
    ['a key of its own', () => signed({ ...header, jwk: { kty: 'oct', k: derived.toString('base64url') } }, payload)],
    ['a place of its key', () => signed({ ...header, jku: 'https://evil.example/keys' }, payload)],
    ['a place of its certificate', () => signed({ ...header, x5u: 'https://evil.example/cert' }, payload)],
    ['a certificate', () => signed({ ...header, x5c: ['MIIB'] }, payload)],
    ['zip', () => signed({ ...header, zip: 'DEF' }, payload)],
    ['another type', () => signed({ ...header, typ: 'JWT' }, payload)],
    ['no type', () => signed({ alg: header.alg, kid: header.kid }, payload)],
    ['no key id', () => signed({ alg: header.alg, typ: header.typ }, payload)],
    ['another key id', () => signed({ ...header, kid: '../../etc/passwd' }, payload)],
    ['a key id that is a number', () => signed({ ...header, kid: 0 }, payload)],
    [
      'the names of the header in another order',
      () => signed({ kid: header.kid, typ: header.typ, alg: header.alg }, payload),
    ],
    ['alg twice, none first', () => signed(JSON.stringify(header).replace('{', '{"alg":"none",'), payload)],
    ['alg twice, none last', () => signed(JSON.stringify(header).replace('}', ',"alg":"none"}'), payload)],
    ['kid twice', () => signed(JSON.stringify(header).replace('{', '{"kid":"x",'), payload)],
    ['a secret twice', () => signed(header, JSON.stringify(payload).replace('{', '{"secret":"x",'))],
    ['aud twice', () => signed(header, JSON.stringify(payload).replace('{', '{"aud":"other",'))],
    ['exp twice', () => signed(header, JSON.stringify(payload).replace('}', ',"exp":1,"exp":9999999999}'))],
    [
      '__proto__',
      () =>
        signed(
          header,
          JSON.stringify(payload)
            .replace('{', '{"__proto__":{"exp":1},')
            .replace(/"secret":"[^"]*",/, ''),
        ),
    ],
    ['another issuer', () => signed(header, { ...payload, iss: 'other' })],
    ['no issuer', () => signed(header, without('iss'))],
    ['another audience', () => signed(header, { ...payload, aud: 'other' })],
    ['no audience', () => signed(header, without('aud'))],
    ['a list of audiences', () => signed(header, { ...payload, aud: ['nestjs-sessionx', 'other'] })],
    ['no secret', () => signed(header, without('secret'))],
    ['a secret that is none', () => signed(header, { ...payload, secret: '../../x' })],
    ['a secret that is an object', () => signed(header, { ...payload, secret: { length: 48 } })],
    ['no iat', () => signed(header, without('iat'))],
    ['an iat that is a text', () => signed(header, { ...payload, iat: String(issuedAt / 1000) })],
    ['a negative iat', () => signed(header, { ...payload, iat: -1 })],
    [
      'an iat beyond all times',
      () => signed(header, JSON.stringify({ ...payload, iat: 0 }).replace('"iat":0', '"iat":1e400')),
    ],
    ['an exp that is a text', () => signed(header, { ...payload, exp: 'never' })],
    ['an exp that is null', () => signed(header, { ...payload, exp: null })],
    ['an exp of 0', () => signed(header, { ...payload, exp: 0 })],
    ['an nbf that is a text', () => signed(header, { ...payload, nbf: 'now' })],
    ['a payload that is a list', () => signed(header, [payload])],
    ['a payload that is null', () => signed(header, null)],
    ['a payload that is no JSON', () => signed(header, 'secret')],
    [
      'a payload that is no UTF-8',
      () => {
        const text = `${encode(header)}.${Buffer.from([0xff, 0xfe]).toString('base64url')}`;
        return `${text}.${createHmac('sha256', derived).update(text).digest('base64url')}`;
      },
    ],
    ['what secretKey itself signs', () => signed(header, payload, KEY_1)],
    ['what an empty key signs', () => signed(header, payload, '')],
    ['what sha1 signs', () => signed(header, payload, derived, 'sha1')],
    [
      'a signed text that is no JWT',
      () => new CompactSign(Buffer.from('hello')).setProtectedHeader(header).sign(signingKey),
    ],
    [
      'an encrypted token',
      () =>
        new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
          .encrypt(derived),
    ],
    [
      'a JWS in JSON',
      () => JSON.stringify({ protected: encode(header), payload: encode(payload), signature: token.split('.')[2] }),
    ],
    [
      'a simple token under the same key',
      () => new SimpleTokenSerializer({ keys: [KEY_1], namespace: 'session:' }).serialize(claims),
    ],
  ])('is refused with %s', async (_, make) => {
    const text = await make();
    expect(text).not.toBe(token);
    expect(await faultOf(text)).toMatch(/^TOKEN_(MALFORMED|FORGED|EXPIRED)$/);
  });

  const without = (claim: string) => Object.fromEntries(Object.entries(payload).filter(([name]) => name !== claim));

  it('is accepted as this test signs it, so that the cases above are refused for what they change', async () => {
    expect(signed(header, payload)).toBe(token);
    expect(await faultOf(signed(header, { ...payload, extra: true }))).toBe('valid');
  });

  it('is no simple token', () => {
    expect(new SimpleTokenSerializer({ keys: [KEY_1], namespace: 'session:' }).verify(token)).toEqual({
      valid: false,
      fault: 'TOKEN_MALFORMED',
    });
  });

  it('belongs to its application, issuer and audience', async () => {
    for (const other of [{ namespace: 'other:' }, { issuer: 'other' }, { audience: 'other' }, { keys: [KEY_2] }]) {
      expect(await (await create(other)).verify(token)).toEqual({ valid: false, fault: 'TOKEN_FORGED' });
    }
  });

  it('verifies under every key of the list, is outdated under all but the first, and is refused when its key is gone', async () => {
    const rotated = await create({ keys: [KEY_2, KEY_1] });
    expect(await rotated.verify(token)).toMatchObject({ valid: true, outdated: true });
    const renewed = await rotated.serialize(claims);
    expect(await rotated.verify(renewed)).toMatchObject({ valid: true, outdated: false });
    expect(await faultOf(renewed)).toBe('TOKEN_FORGED');
    expect(decode(renewed.split('.')[0])).not.toEqual(header);
    // The name of one key over the MAC of the other.
    const [, body, mac] = token.split('.');
    expect(await rotated.verify(`${renewed.split('.')[0]}.${body}.${mac}`)).toEqual({
      valid: false,
      fault: 'TOKEN_FORGED',
    });
  });

  it('names its key by an id that is neither the key nor a plain hash of it', () => {
    const id = Buffer.from(header.kid!, 'base64url');
    for (const algorithm of ['sha1', 'sha256', 'sha512', 'md5']) {
      const hash = createHmac(algorithm, '').update(KEY_1).digest();
      expect(hash.subarray(0, id.length).equals(id)).toBe(false);
    }
    expect(derived.includes(id)).toBe(false);
    expect(header.kid).not.toContain(KEY_1.slice(0, 4));
  });

  it('is refused if it was issued, or begins, later than the leeway allows, which the log says once a minute', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const at = (offsetMs: number) => (clock.now() + offsetMs) / 1000;
    const later = new FakeClock();
    const strict = await JwtTokenSerializer.create({ ...OPTIONS, leeway: 0 }, later);
    expect(await faultOf(signed(header, { ...payload, iat: at(60_000) }))).toBe('valid');
    expect(await faultOf(signed(header, { ...payload, nbf: at(60_000) }))).toBe('valid');
    expect(warn).not.toHaveBeenCalled();
    expect(await faultOf(signed(header, { ...payload, iat: at(60_001) }))).toBe('TOKEN_FORGED');
    expect(await faultOf(signed(header, { ...payload, nbf: at(60_001) }))).toBe('TOKEN_FORGED');
    expect(await faultOf(signed(header, { ...payload, iat: at(60_001), nbf: at(0) }))).toBe('TOKEN_FORGED');
    expect(await faultOf(signed(header, { ...payload, nbf: at(600_000) }))).toBe('TOKEN_FORGED');
    expect(warn.mock.calls).toEqual([[expect.stringContaining('by 61 seconds')]]);
    expect(warn.mock.calls[0]![0]).not.toContain(secret);
    expect(await strict.verify(signed(header, { ...payload, iat: (later.now() + 1) / 1000 }))).toMatchObject({
      valid: false,
    });
    warn.mockRestore();
  });

  it('is known to the process that has signed it, once, and as what it is', async () => {
    const own = await create();
    const ending = await own.serialize({ ...claims, expiresAt: clock.now() + 1000 });
    expect(own.verify(ending)).toEqual({
      valid: true,
      claims: { ...claims, expiresAt: clock.now() + 1000 },
      outdated: false,
    });
    expect(own.verify(ending)).toBeInstanceOf(Promise);
    const expired = await own.serialize({ ...claims, expiresAt: clock.now() });
    expect(own.verify(expired)).toEqual({ valid: false, fault: 'TOKEN_EXPIRED' });
    const first = await own.serialize(claims);
    for (let count = 0; count < 1000; count++) await own.serialize({ ...claims, issuedAt: issuedAt + count + 1 });
    expect(await own.verify(first)).toMatchObject({ valid: true });
    expect(own.verify(first)).toBeInstanceOf(Promise);
  });

  it('fits in a cookie with the longest names', async () => {
    const longest = await create({ issuer: '"'.repeat(200), audience: '\\'.repeat(200) });
    const text = await longest.serialize({ ...claims, expiresAt: 8_000_000_000_123 });
    expect(text.length).toBeLessThan(2048);
    expect(longest.verify(text)).toMatchObject({ valid: true });
    expect(await longest.verify(text)).toMatchObject({ valid: true });
  });

  it('of 2,049 characters is refused', async () => {
    const padded = (length: number) => signed(header, { ...payload, x: 'x'.repeat(length) });
    let length = 1000;
    while (padded(length).length <= 2048) length++;
    expect(await faultOf(padded(length))).toBe('TOKEN_MALFORMED');
    expect(await faultOf(padded(length - 1))).toBe('valid');
  });
});

describe('the verifier, for tokens that may expire', () => {
  it('remembers a verdict until the token expires, and calls the serializer only once before', async () => {
    const verify = jest.spyOn(serializer, 'verify');
    const verifier = new TokenVerifier(serializer, clock);
    const ending = await signer.serialize({ ...claims, expiresAt: clock.now() + 1000 });
    const first = await verifier.verify(ending);
    expect(first).toMatchObject({ valid: true, sessionId: sessionIdOf(secret) });
    clock.advance(999);
    expect(verifier.verify(ending)).toBe(first);
    expect(verify).toHaveBeenCalledTimes(1);
    clock.advance(1);
    expect(await verifier.verify(ending)).toEqual({ valid: false, fault: 'TOKEN_EXPIRED' });
    clock.advance(-1000);
    const endless = await verifier.verify(token);
    clock.advance(10 ** 12);
    expect(verifier.verify(token)).toBe(endless);
    clock.advance(-(10 ** 12));
    verify.mockRestore();
  });
});

describe('jose', () => {
  it('that is missing is named with what to run', async () => {
    for (const code of ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']) {
      const missing = Object.assign(new Error("Cannot find package 'jose'"), { code });
      await expect(loadJose(() => Promise.reject(missing))).rejects.toThrow(
        "tokenFormat 'jwt' needs the package jose, which is not installed. Run: npm install jose@6",
      );
    }
    await expect(loadJose(() => Promise.reject(new SyntaxError('Unexpected token')))).rejects.toThrow(
      'cannot be loaded ("Unexpected token")',
    );
  });
});
