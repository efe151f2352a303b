import { createHash, randomBytes } from 'node:crypto';
import type { SessionId, SessionRecord, UserTag } from 'nestjs-sessionx';

export const TTL_MS = 3_600_000;

/** One user's sessions, `count` of them. */
export function sessionsOf(userId: string, count: number): SessionRecord[] {
  const tag = randomBytes(12).toString('base64url') as UserTag;
  return Array.from({ length: count }, () => session(userId, tag));
}

/** The id of the user in the text of a record. */
export function userIdOf(text: string): string | undefined {
  const [, , user = 'null'] = text.split('\n');
  return (JSON.parse(user) as { userId?: string } | null)?.userId;
}

function session(userId: string, tag: UserTag): SessionRecord {
  const id = (tag + createHash('sha256').update(randomBytes(24)).digest('base64url')) as SessionId;
  const now = Date.now();
  const payload = [
    {
      schema: 1,
      id,
      createdAt: now,
      ttlMs: TTL_MS,
      absoluteExpiresAt: null,
      ipAddress: '203.0.113.7',
      userAgent: null,
    },
    { roles: ['editor'], permissions: ['posts:read'], metadata: {}, userId, username: userId },
    { cart: [{ sku: 'A-1001', quantity: 2 }], theme: 'dark', lastPage: '/articles/42' },
    [],
  ];
  return {
    id,
    version: 1,
    status: 'active',
    userTag: tag,
    lastAccessed: now,
    expiresAt: now + TTL_MS,
    payload: payload.map((line) => JSON.stringify(line)).join('\n'),
  };
}
