import { Injectable } from '@nestjs/common';
import { createHmac, createSecretKey, randomBytes, timingSafeEqual, type KeyObject } from 'node:crypto';

import { secretKeysOf } from '../options/secret-keys.js';
import { SessionOptions } from '../options/session-options.js';
import type { SessionId } from '../tokens/session-secret.js';

const MAC_BYTES = 32;
/** 64 bytes in canonical base64url: the last character has four spare bits. */
const TOKEN = /^[A-Za-z0-9_-]{85}[AQgw]$/;

/**
 * Tokens that prove that a request was made by a page of the application: HMAC-SHA256 over a purpose and the session's id. A token is valid as
 * long as its session has that id. Each issued token is masked anew: 32 random bytes, then the MAC XORed with them, as 86 characters of
 * base64url. Therefore a compressed page that contains input of an attacker reveals nothing about the token (BREACH).
 */
@Injectable()
export class CsrfTokens {
  readonly #keys: readonly [KeyObject, ...KeyObject[]];
  readonly #purpose: string;

  constructor(options: SessionOptions) {
    const [current, ...former] = secretKeysOf(options);
    this.#keys = [keyOf(current), ...former.map(keyOf)];
    this.#purpose = `nestjs-sessionx/csrf-token/v1\0${options.backendKeyPrefix}\0`;
  }

  /** A token for the session `id`, under the current key. Each call returns another text. */
  issue(id: SessionId): string {
    const [signingKey] = this.#keys;
    const mask = randomBytes(MAC_BYTES);
    return Buffer.concat([mask, xor(mask, this.#mac(signingKey, id))]).toString('base64url');
  }

  /** Whether `token`, which any client may have sent, has the form of one. */
  isWellFormed(token: string): boolean {
    return TOKEN.test(token);
  }

  /** Whether `token`, which any client may have sent, was issued for the session `id`. */
  verify(token: string, id: string): boolean {
    if (!this.isWellFormed(token)) return false;
    const bytes = Buffer.from(token, 'base64url');
    const mac = xor(bytes.subarray(0, MAC_BYTES), bytes.subarray(MAC_BYTES));
    return this.#keys.some((key) => timingSafeEqual(mac, this.#mac(key, id)));
  }

  #mac(key: KeyObject, id: string): Buffer {
    return createHmac('sha256', key)
      .update(this.#purpose + id)
      .digest();
  }
}

function keyOf(secretKey: string): KeyObject {
  return createSecretKey(secretKey, 'utf8');
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ (b[index] ?? 0)));
}
