import type { INestApplication, Type } from '@nestjs/common';

export const PLATFORMS = ['express', 'fastify'] as const;
export type Platform = (typeof PLATFORMS)[number];

/** The servers that a variant may keep its sessions on. */
export interface Stores {
  readonly redisUrl: string;
  /** `host:port` */
  readonly memcachedAddress: string;
}

/** The header that authenticates a request. */
export interface Credential {
  readonly header: string;
  readonly value: string;
}

/** A client that is signed in. */
export interface SignedIn extends Credential {
  /** The response to each of its requests. */
  readonly expectedBody: string;
}

/** An application under measurement. It responds to `POST /login` with a {@link LoginResponse} or a cookie, and to its path with the user. */
export interface AppDefinition {
  readonly module: Type;
  /** Before it listens: what has no place in a module, such as middleware. */
  configure?(app: INestApplication): Promise<void>;
}

/** A token for the header `X-Session-Token`. */
export interface LoginResponse {
  readonly token: string;
}
