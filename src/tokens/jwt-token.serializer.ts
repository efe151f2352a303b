import { Logger } from '@nestjs/common';
import { hkdfSync, webcrypto } from 'node:crypto';

import type { Clock } from '../clock.js';
import { forgetOldest } from '../forget-oldest.js';
import { LineLimit } from '../line-limit.js';
import { loadJose, type Jose } from './load-jose.js';
import { assertSecretKeys } from './secret-key.js';
import { isSessionSecret, type SessionSecret } from './session-secret.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

const ALGORITHM = 'HS256';
/** Says what the token is for (RFC 8725, section 3.11). */
const TYPE = 'nestjs-sessionx+jwt';
const KEY_BYTES = 32;
const KEY_ID_BYTES = 12;
/** Of the longest issuer and audience, with some space. */
const LONGEST_TOKEN = 2048;
/** Header, claims and MAC. Of 32 bytes in base64url, the last character has two spare bits, which are zeroes in the only valid spelling. */
const TOKEN = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const SIGNED_TOKENS = 1000;

const MALFORMED = { valid: false, fault: 'TOKEN_MALFORMED' } as const;
const FORGED = { valid: false, fault: 'TOKEN_FORGED' } as const;
const EXPIRED = { valid: false, fault: 'TOKEN_EXPIRED' } as const;

/** Options of the {@link JwtTokenSerializer}. */
export interface JwtTokenOptions {
  /** The first key signs, all of them verify. */
  readonly keys: readonly string[];
  /** The `backendKeyPrefix`. Part of the derived keys, so that two applications with one key do not accept each other's tokens. */
  readonly namespace: string;
  /** The claim `iss`. */
  readonly issuer: string;
  /** The claim `aud`. */
  readonly audience: string;
  /** Seconds by which `iat` and `nbf` may lie in the future. */
  readonly leeway: number;
}

/** The claims of a token, with times in seconds, which may have a fraction (RFC 7519, section 2). */
interface JwtClaims {
  readonly secret: SessionSecret;
  readonly iss: string;
  readonly aud: string;
  readonly iat: number;
  readonly nbf?: number;
  readonly exp?: number;
}

interface JwtKey {
  readonly id: string;
  /** The header of every token under this key, as it is written in the token. */
  readonly header: string;
  readonly key: webcrypto.CryptoKey;
}

/**
 * JSON Web Tokens (RFC 7519) with HMAC-SHA256, signed and verified by `jose`. They carry the same as simple tokens: the secret and the time of
 * issue. `exp` is there only if the session has an absolute end, because an older token stays valid as long as its session lives.
 *
 * Each key of `secretKey` has one header, and a token whose header is not one of these, character by character, is refused before anything is
 * parsed. So `alg: none`, other algorithms, `crit`, `b64`, `jwk`, `jku`, `x5u` and duplicated names have no effect (RFC 8725, section 3.1).
 */
export class JwtTokenSerializer implements TokenSerializer {
  readonly verdictsAreFinal = true;
  /** The claim `iss`. */
  readonly issuer: string;
  /** The claim `aud`. */
  readonly audience: string;
  readonly #jose: Jose;
  readonly #keys: readonly JwtKey[];
  readonly #clock: Clock;
  readonly #leewaySeconds: number;
  /** Tokens that this process has signed and not verified yet, the oldest first. */
  readonly #signed = new Map<string, TokenClaims>();
  readonly #future: LineLimit;
  readonly #logger = new Logger('SessionModule');

  /**
   * Loads `jose` and derives the keys.
   *
   * @param clock that of the module, `SESSION_CLOCK`
   * @throws TypeError when `jose` is not installed, or a key is short or is none
   */
  static async create(options: JwtTokenOptions, clock: Clock): Promise<JwtTokenSerializer> {
    assertSecretKeys(options.keys, 'JwtTokenSerializer');
    const jose = await loadJose();
    const keys = await Promise.all(options.keys.map((key) => deriveKey(key, options.namespace)));
    return new JwtTokenSerializer(jose, keys, options, clock);
  }

  private constructor(
    jose: Jose,
    keys: readonly JwtKey[],
    { issuer, audience, leeway }: JwtTokenOptions,
    clock: Clock,
  ) {
    this.#jose = jose;
    this.#keys = keys;
    this.#clock = clock;
    this.issuer = issuer;
    this.audience = audience;
    this.#leewaySeconds = leeway;
    this.#future = new LineLimit(clock);
  }

  async serialize(claims: TokenClaims): Promise<string> {
    const [signing] = this.#keys;
    if (signing === undefined) throw new Error('JwtTokenSerializer needs at least one key.');
    const { secret, issuedAt, expiresAt } = claims;
    const payload: JwtClaims = {
      secret,
      iss: this.issuer,
      aud: this.audience,
      iat: issuedAt / 1000,
      ...(expiresAt === undefined ? {} : { exp: expiresAt / 1000 }),
    };
    const token = await new this.#jose.SignJWT({ ...payload })
      .setProtectedHeader(headerOf(signing.id))
      .sign(signing.key);
    this.#noteSigned(token, claims);
    return token;
  }

  /** `jose` verifies asynchronously. The first request after a login need not wait for it, nor what is noted about the cookie of its response. */
  #noteSigned(token: string, claims: TokenClaims): void {
    this.#signed.set(token, claims);
    if (this.#signed.size > SIGNED_TOKENS) forgetOldest(this.#signed);
  }

  verify(token: string): TokenVerdict | Promise<TokenVerdict> {
    const signed = this.#signed.get(token);
    if (signed !== undefined) {
      // The caller remembers the verdict.
      this.#signed.delete(token);
      return this.#judge(signed, signed.issuedAt, this.#clock.now(), false);
    }
    if (token.length > LONGEST_TOKEN) return MALFORMED;
    const [, header, text] = TOKEN.exec(token) ?? [];
    if (header === undefined || text === undefined) return MALFORMED;
    const index = this.#keys.findIndex((key) => key.header === header);
    const known = this.#keys[index];
    return known === undefined ? FORGED : this.#verify(token, text, known, index > 0);
  }

  async #verify(token: string, text: string, { key }: JwtKey, outdated: boolean): Promise<TokenVerdict> {
    const now = this.#clock.now();
    let payload: Readonly<Record<string, unknown>>;
    try {
      ({ payload } = await this.#jose.jwtVerify(token, key, {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: this.issuer,
        audience: this.audience,
        // It compares whole seconds; `#judge()` compares milliseconds.
        clockTolerance: this.#leewaySeconds + 1,
        currentDate: new Date(now),
      }));
    } catch (error) {
      return this.#verdictOn(error);
    }
    // Our own spelling and no other: no claim twice, no spaces, no spare bits.
    if (encode(payload) !== text || !isClaims(payload)) return MALFORMED;
    const { secret, iat, nbf, exp } = payload;
    const issuedAt = toMilliseconds(iat);
    const claims = { secret, issuedAt, ...(exp === undefined ? {} : { expiresAt: toMilliseconds(exp) }) };
    return this.#judge(claims, Math.max(issuedAt, toMilliseconds(nbf ?? 0)), now, outdated);
  }

  /** The times, to the millisecond. `jose` checks no `iat`. */
  #judge(claims: TokenClaims, startsAt: number, now: number, outdated: boolean): TokenVerdict {
    if (startsAt > now + this.#leewaySeconds * 1000) return this.#isInFuture(startsAt - now);
    if (claims.expiresAt !== undefined && claims.expiresAt <= now) return EXPIRED;
    return { valid: true, claims, outdated };
  }

  #verdictOn(error: unknown): TokenVerdict {
    const { JOSEError, JWTExpired, JWTInvalid, JWTClaimValidationFailed } = this.#jose.errors;
    if (error instanceof JWTExpired) return EXPIRED;
    if (error instanceof JWTInvalid) return MALFORMED;
    if (error instanceof JWTClaimValidationFailed && error.claim === 'nbf' && error.reason === 'check_failed') {
      return this.#isInFuture(null);
    }
    if (error instanceof JOSEError) return FORGED;
    throw error;
  }

  /** The signature is right, so this is no attack. The client would be signed out by servers whose clocks differ, and no event tells why. */
  #isInFuture(byMs: number | null): TokenVerdict {
    this.#future.log('future', (more) => {
      const by = byMs === null ? '' : ` by ${Math.ceil(byMs / 1000)} seconds`;
      this.#logger.warn(
        `A session token with a valid signature lies in the future${by} and is refused${more}. Compare the clocks of your servers, or raise jwt.leeway.`,
      );
    });
    return FORGED;
  }
}

/** HKDF (RFC 5869). The id does not reveal the key, nor which key of another purpose belongs to it. */
async function deriveKey(secretKey: string, namespace: string): Promise<JwtKey> {
  const derive = (purpose: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secretKey, '', `nestjs-sessionx/${purpose}/v1\0${namespace}`, bytes));
  const id = derive('jwt-key-id', KEY_ID_BYTES).toString('base64url');
  const bytes = derive('jwt-key', KEY_BYTES);
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await webcrypto.subtle.importKey('raw', bytes, algorithm, false, ['sign', 'verify']);
  return { id, header: encode(headerOf(id)), key };
}

function headerOf(keyId: string): { readonly alg: string; readonly typ: string; readonly kid: string } {
  return { alg: ALGORITHM, typ: TYPE, kid: keyId };
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}

/** `iss` and `aud` were compared before. */
function isClaims(
  payload: Readonly<Record<string, unknown>>,
): payload is Readonly<Record<string, unknown>> & JwtClaims {
  const { secret, aud, iat, nbf, exp } = payload;
  return isSessionSecret(secret) && typeof aud === 'string' && isTime(iat) && isTimeOrNone(nbf) && isTimeOrNone(exp);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isSafeInteger(toMilliseconds(value));
}

function isTimeOrNone(value: unknown): value is number | undefined {
  return value === undefined || isTime(value);
}
