import type { OrUndefined } from '../options/or-undefined.js';

/**
 * Who is signed in. Add your own fields by declaration merging; they stay typed through every call and decorator:
 *
 * @example
 * declare module 'nestjs-sessionx' {
 *   interface SessionUser { plan?: 'free' | 'pro' }
 * }
 */
export interface SessionUser {
  /** Your key of the user; not empty, at most 512 characters. To change it is to log in. */
  readonly userId: string;
  /** For display. Default: none. */
  username?: string;
  /** Default: none. */
  email?: string;
  /** Default: none. */
  roles: string[];
  /** Default: none. */
  permissions: string[];
  /** Anything else that JSON can hold. Default: empty. */
  metadata: Record<string, unknown>;
}

/** What `login()` and `createSession()` take: a {@link SessionUser} whose lists may be left out. */
export type NewSessionUser = OrUndefined<
  Omit<SessionUser, 'roles' | 'permissions' | 'metadata'> &
    Partial<Pick<SessionUser, 'roles' | 'permissions' | 'metadata'>>
>;

/**
 * What the application keeps in a session. Give your keys types by declaration merging:
 *
 * @example
 * declare module 'nestjs-sessionx' {
 *   interface SessionData { cart?: { sku: string; quantity: number }[] }
 * }
 */
export interface SessionData {
  [key: string]: unknown;
}

/**
 * The values of `sessions.oneTime`, by their names. Give yours types by declaration merging:
 *
 * @example
 * declare module 'nestjs-sessionx' {
 *   interface OneTimeData { 'invitation': { team: string }; [state: `oauth:${string}`]: string }
 * }
 */
export interface OneTimeData {
  [name: string]: unknown;
}
