import { createHmac, hash, type KeyObject } from 'node:crypto';

import type { RandomPool } from './random-pool.js';

/** The content of the client's token: tag and random secret, 48 characters of base64url. Any client that has it can use the session. */
export type SessionSecret = string & { readonly __brand: 'SessionSecret' };

/** The public name of a session: tag and the secret's SHA-256, 59 characters of base64url. Safe to show and to log. */
export type SessionId = string & { readonly __brand: 'SessionId' };

/** The part that all ids of one user share: 16 characters of base64url; random for an anonymous session. */
export type UserTag = string & { readonly __brand: 'UserTag' };

const TAG_BYTES = 12;
const TAG_CHARS = 16;
const RANDOM_BYTES = 24;
const SECRET = /^[A-Za-z0-9_-]{48}$/;
// 32 bytes end in a character with two spare bits; only those with zeroes there are canonical.
const SESSION_ID = /^[A-Za-z0-9_-]{58}[AEIMQUYcgkosw048]$/;
const TAG_PURPOSE = 'nestjs-sessionx/user-tag/v1\0';

/** The tag of a user: 12 bytes of HMAC-SHA256. It can be recomputed with the key, and cannot be guessed without it. */
export function userTag(indexKey: KeyObject | string, userId: string): UserTag {
  const digest = createHmac('sha256', indexKey)
    .update(TAG_PURPOSE + userId)
    .digest('base64url');
  return digest.slice(0, TAG_CHARS) as UserTag;
}

/** A tag for a session without a user. */
export function anonymousTag(random: RandomPool): UserTag {
  return random.base64url(TAG_BYTES) as UserTag;
}

/** A new secret under `tag`: 192 random bits (ASVS 7.2.3 asks for 128). */
export function newSecret(tag: UserTag, random: RandomPool): SessionSecret {
  return (tag + random.base64url(RANDOM_BYTES)) as SessionSecret;
}

/** The id of the session that `secret` authenticates. The secret cannot be computed from the id, because SHA-256 cannot be inverted. */
export function sessionIdOf(secret: SessionSecret): SessionId {
  return (secret.slice(0, TAG_CHARS) + hash('sha256', secret, 'base64url')) as SessionId;
}

/** The tag in a session id. */
export function tagOf(id: SessionId): UserTag {
  return id.slice(0, TAG_CHARS) as UserTag;
}

/** The part of a session id that is not its tag: 43 characters. */
export function memberOf(id: SessionId): string {
  return id.slice(TAG_CHARS);
}

/** Whether `text` has the form of a session id, in its only valid spelling. */
export function isSessionId(text: unknown): text is SessionId {
  return typeof text === 'string' && SESSION_ID.test(text);
}

/** Whether `text` has the form of a session secret. */
export function isSessionSecret(text: unknown): text is SessionSecret {
  return typeof text === 'string' && SECRET.test(text);
}
