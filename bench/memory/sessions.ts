import { randomBytes } from 'node:crypto';
import type { SessionId, SessionRecord, SessionSecret, UserTag } from 'nestjs-sessionx';

const TTL_MS = 3_600_000;
const USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';

export const LAYOUTS = ['one', 'five', 'anonymous'] as const;

/** The owners of the sessions: one session per user, five per user, or anonymous sessions. */
export type Layout = (typeof LAYOUTS)[number];

/** The parts of the package that make ids and payloads, so that the strings are of the kind that V8 has to do with in an application. */
interface Internals {
  encodePayload(id: SessionId, content: object): string;
  newSecret(tag: UserTag, random: object): SessionSecret;
  sessionIdOf(secret: SessionSecret): SessionId;
  readonly RandomPool: new () => object;
}

async function internals(): Promise<Internals> {
  const load = async (path: string) => (await import(new URL(`../../esm/${path}`, import.meta.url).href)) as object;
  const parts = ['records/payload.js', 'tokens/session-secret.js', 'tokens/random-pool.js'];
  const modules = await Promise.all(parts.map(load));
  return modules.reduce((all, module) => ({ ...all, ...module })) as Internals;
}

/** Makes sessions as the module does, that were last used over the past hour. */
export async function sessionMaker(layout: Layout, now: number): Promise<(index: number) => SessionRecord> {
  const { encodePayload, newSecret, sessionIdOf, RandomPool } = await internals();
  const random = new RandomPool();
  const newTag = () => randomBytes(12).toString('base64url') as UserTag;
  let tag = newTag();

  return (index) => {
    if (layout !== 'five' || index % 5 === 0) tag = newTag();
    const id = sessionIdOf(newSecret(tag, random));
    const lastAccessed = now - ((index * 7919) % TTL_MS);
    const payload = encodePayload(id, {
      metadata: {
        createdAt: lastAccessed,
        ttlMs: TTL_MS,
        absoluteExpiresAt: lastAccessed + 24 * TTL_MS,
        ipAddress: '203.0.113.7',
        userAgent: USER_AGENT,
        isRemembered: false,
        authenticatedAt: layout === 'anonymous' ? null : lastAccessed,
        authMethods: [],
        idIssuedAt: lastAccessed,
        formerIds: [],
        lineage: null,
        deadId: null,
      },
      userText: JSON.stringify(layout === 'anonymous' ? null : user(index)),
      data: { cart: [{ sku: `A-${index}`, quantity: 2 }], theme: 'dark', lastPage: `/articles/${index}` },
      flash: [],
      oneTime: [],
    });
    return {
      id,
      version: 1,
      status: 'active',
      userTag: layout === 'anonymous' ? null : tag,
      lastAccessed,
      expiresAt: lastAccessed + TTL_MS,
      payload,
    };
  };
}

function user(index: number): object {
  return {
    roles: ['editor'],
    permissions: ['posts:read'],
    metadata: { locale: 'en-GB' },
    userId: `user-${index}`,
    username: `ada-${index}`,
    email: `ada-${index}@example.org`,
  };
}
