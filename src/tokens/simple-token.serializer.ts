import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

import { assertSecretKeys } from './secret-key.js';
import type { SessionSecret } from './session-secret.js';
import type { TokenClaims, TokenSerializer, TokenVerdict } from './token-serializer.interface.js';

const SECRET_CHARS = 48;
const TIME_CHARS = 8;
const TIME_BYTES = 6;
const CLAIMS_CHARS = SECRET_CHARS + TIME_CHARS;
const MAC_CHARS = 43;
const TOKEN = /^[A-Za-z0-9_-]{56}\.[A-Za-z0-9_-]{43}$/;

/** Options of the {@link SimpleTokenSerializer}. */
export interface SimpleTokenOptions {
  /** The first key signs, all of them verify. */
  readonly keys: readonly string[];
  /** The `backendKeyPrefix`. Signed into every token, so that two applications with one key do not accept each other's. */
  readonly namespace: string;
}

/**
 * Tokens of 100 characters: secret (48), issue time (8, six big-endian bytes in milliseconds), a dot, and HMAC-SHA256 over all of
 * it (43). Everything is base64url without padding. The MAC also covers a purpose and the application's namespace, so that nothing
 * else that is signed with the same key can serve as a session token (ASVS 9.2.2).
 */
export class SimpleTokenSerializer implements TokenSerializer {
  readonly #keys: readonly KeyObject[];
  readonly #purpose: string;
  /** Used by one call after the other. */
  readonly #time = Buffer.alloc(TIME_BYTES);
  readonly verdictsAreFinal = true;

  /** @throws TypeError when a key is short or is none */
  constructor({ keys, namespace }: SimpleTokenOptions) {
    assertSecretKeys(keys, 'SimpleTokenSerializer');
    this.#keys = keys.map((key) => createSecretKey(key, 'utf8'));
    this.#purpose = `nestjs-sessionx/session-token/v1\0${namespace}\0`;
  }

  serialize({ secret, issuedAt }: TokenClaims): string {
    this.#time.writeUIntBE(issuedAt, 0, TIME_BYTES);
    const claims = secret + this.#time.toString('base64url');
    const [signingKey] = this.#keys;
    if (signingKey === undefined) throw new Error('SimpleTokenSerializer needs at least one key.');
    return `${claims}.${this.#mac(signingKey, claims)}`;
  }

  verify(token: string): TokenVerdict {
    if (!TOKEN.test(token)) return { valid: false, fault: 'TOKEN_MALFORMED' };

    const claims = token.slice(0, CLAIMS_CHARS);
    // The text of the MAC is compared, not its bytes: Node decodes several spellings to the same bytes, only one is accepted.
    const tokenMac = Buffer.from(token.slice(-MAC_CHARS), 'latin1');
    const keyIndex = this.#keys.findIndex((key) =>
      timingSafeEqual(tokenMac, Buffer.from(this.#mac(key, claims), 'latin1')),
    );
    if (keyIndex < 0) return { valid: false, fault: 'TOKEN_FORGED' };

    return {
      valid: true,
      claims: {
        secret: claims.slice(0, SECRET_CHARS) as SessionSecret,
        issuedAt: Buffer.from(claims.slice(SECRET_CHARS), 'base64url').readUIntBE(0, TIME_BYTES),
      },
      outdated: keyIndex > 0,
    };
  }

  #mac(key: KeyObject, claims: string): string {
    return createHmac('sha256', key)
      .update(this.#purpose + claims)
      .digest('base64url');
  }
}
