import { Logger } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';

import { sharedBackendError } from './backends/backend-opening.js';
import { MemoryBackend } from './backends/memory/memory.backend.js';
import { SESSION_BACKEND } from './backends/session-backend.interface.js';
import { SESSION_CLOCK } from './clock.js';
import { indexKeyOf, secretKeysOf } from './options/secret-keys.js';
import { SessionCookieOptions } from './options/session-cookie-options.js';
import { SessionOptions, type TokenSource } from './options/session-options.js';
import { JwtTokenSerializer } from './tokens/jwt-token.serializer.js';
import { SimpleTokenSerializer } from './tokens/simple-token.serializer.js';
import { TOKEN_SERIALIZER } from './tokens/token-serializer.interface.js';

/** What decides whether two SessionModules take each other's tokens, and know each other's sessions. */
interface ModuleIdentity {
  readonly options: SessionOptions;
  readonly backend: unknown;
  readonly clock: unknown;
  readonly serializer: unknown;
}

const IMPORTED_TWICE = 'SessionModule is imported twice in one application with';
const IMPORT_ONCE = 'import it once, it is global';
const SEPARATE =
  'Modules that are to have sessions of their own need a backendKeyPrefix of their own each, with a backend object for each, and better a secretKey too.';

/**
 * Runs when a SessionModule is made, when the providers of those that were made before it in the same application are there. Warns of two global
 * ones with sessions of their own: what imports neither gets the one or the other by the order of imports.
 *
 * @throws TypeError when another one takes the tokens of `own` and cannot know their sessions: a user of the one is unknown to
 * the other, which then clears the cookie; when tokens or users of the one count for the other, although they look as if they had
 * sessions of their own; or when it has the same backend object and another clock
 */
export function assertNoConflict(modules: ModulesContainer, own: ModuleIdentity): void {
  for (const { providers, isGlobal } of modules.values()) {
    const options: unknown = providers.get(SessionOptions)?.instance;
    if (!(options instanceof SessionOptions) || options === own.options) continue;
    const backend: unknown = providers.get(SESSION_BACKEND)?.instance;
    const clock: unknown = providers.get(SESSION_CLOCK)?.instance;
    const serializer: unknown = providers.get(TOKEN_SERIALIZER)?.instance;
    if (backend === own.backend && clock !== own.clock) throw sharedBackendError('SESSION_CLOCK');
    // A module that does not have all of them yet looks at us when it has.
    if (serializer == null || backend == null) continue;
    const areShared = assertSharedOrSeparate(own, { options, backend, clock, serializer });
    if (!areShared && isGlobal && isGlobalWith(own.options, modules)) warnOfTwoGlobal();
  }
}

function isGlobalWith(options: SessionOptions, modules: ModulesContainer): boolean {
  return [...modules.values()].some(
    ({ providers, isGlobal }) => isGlobal && providers.get(SessionOptions)?.instance === options,
  );
}

function warnOfTwoGlobal(): void {
  new Logger('SessionModule').warn(
    'Two SessionModules with sessions of their own are global, which is the default: a module that imports neither, and so a global guard, gets one of them by the order of imports. Set isGlobal: false in both, and import each where it is used.',
  );
}

/** @returns whether both have the same sessions */
function assertSharedOrSeparate(one: ModuleIdentity, other: ModuleIdentity): boolean {
  const verify = verifySameTokens(one, other);
  const haveOwnStores = haveDifferentStores(one.backend, other.backend);
  if (verify && readSamePlaces(one.options, other.options)) {
    if (!haveOwnStores) return true;
    throw new TypeError(
      `${IMPORTED_TWICE} the same keys, backendKeyPrefix and names, and each of the two keeps its sessions in a memory of its own: ${IMPORT_ONCE}. ${SEPARATE}`,
    );
  }
  if (haveOwnStores || one.options.backendKeyPrefix !== other.options.backendKeyPrefix) return false;
  if (!verify && indexKeyOf(one.options) !== indexKeyOf(other.options)) return false;
  throw new TypeError(
    `${IMPORTED_TWICE} one store, the same backendKeyPrefix and the same secretKey or indexKey: ${verify ? 'each takes the tokens of the other, under its own names' : 'users of the same ID are one user for both, whom either logs out everywhere'}. A cookie.name, headerName, tokenFormat or jwt of its own separates nothing. ${SEPARATE} For the same sessions ${IMPORT_ONCE}.`,
  );
}

/** Two memories are never one; of other stores only the server knows. */
function haveDifferentStores(one: unknown, other: unknown): boolean {
  return one !== other && (one instanceof MemoryBackend || other instanceof MemoryBackend);
}

function verifySameTokens(one: ModuleIdentity, other: ModuleIdentity): boolean {
  if (one.serializer === other.serializer) return true;
  if (!haveSameFormat(one.serializer, other.serializer)) return false;
  const keys = secretKeysOf(other.options);
  return (
    one.options.backendKeyPrefix === other.options.backendKeyPrefix &&
    secretKeysOf(one.options).some((key) => keys.includes(key))
  );
}

/** Two serializers of the application may have anything in common, or nothing. */
function haveSameFormat(one: unknown, other: unknown): boolean {
  if (one instanceof JwtTokenSerializer && other instanceof JwtTokenSerializer)
    return one.issuer === other.issuer && one.audience === other.audience;
  return one instanceof SimpleTokenSerializer && other instanceof SimpleTokenSerializer;
}

/** Whether a token is looked for in one place at least by both, and in none under different names. */
function readSamePlaces(one: SessionOptions, other: SessionOptions): boolean {
  const shared = one.tokenSourcePriority.filter((source) => other.tokenSourcePriority.includes(source));
  return shared.length > 0 && shared.every((source) => nameOf(source, one) === nameOf(source, other));
}

function nameOf(source: TokenSource, { headerName, useBearerToken, cookie }: SessionOptions): string {
  switch (source) {
    case 'header':
      return headerName.toLowerCase();
    case 'bearer':
      return String(useBearerToken);
    case 'cookie':
      return (cookie ?? new SessionCookieOptions()).name;
  }
}
