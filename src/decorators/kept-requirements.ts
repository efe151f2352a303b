import type { Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';

import { FIELD_KEYS, GUARDS_METADATA, MESSAGE_KEYS, PATH_METADATA, RESOLVER_METADATA } from './nest-metadata.js';
import { RequirementsGuard } from './requirements.guard.js';
import { markedMethodsOf, marksOf, ownMarksOf, type Requirements } from './requirements.js';

/** What makes a method a handler: of a controller, of a resolver, or of messages. */
const HANDLER_KEYS = [PATH_METADATA, RESOLVER_METADATA, ...FIELD_KEYS, ...MESSAGE_KEYS];
const GRAPHQL_OPTIONS = 'GqlModuleOptions';
const DECORATORS = '@RequireRoles(), @RequirePermissions() or @RequireFresh()';

/**
 * Runs at the start, when controllers and resolvers are made, and their routes are not. What puts a new function in the place of a handler may
 * lose its guards and marks, and Nest calls no guards for fields of GraphQL unless it is told to: the route would be open.
 *
 * @throws TypeError when a handler would be called without a check of what it requires
 */
export function assertRequirementsKept(modules: ModulesContainer): void {
  const areFieldsGuarded = guardsFields(modules);
  for (const { controllers, providers } of modules.values()) {
    for (const { metatype, instance } of [...controllers.values(), ...providers.values()]) {
      if (typeof metatype !== 'function') continue;
      const type = metatype as Type;
      assertKeptBy(type, instance);
      if (!areFieldsGuarded) assertNoFieldOf(type);
    }
  }
}

function assertKeptBy(type: Type, instance: unknown): void {
  for (const current of chainOf(type)) {
    for (const key of markedMethodsOf(current)) {
      const method = methodOf(current, key);
      if (!isChecked(method)) {
        throw new TypeError(
          `${nameOf(current, key)} has lost what it requires: a decorator above ${DECORATORS} has replaced the method. Put ours above that decorator.`,
        );
      }
      assertKeptByOverride(type, key, { current, method });
      assertKeptByInstance(type, key, instance);
    }
  }
}

/** Nest takes the handler of a controller from the instance. */
function assertKeptByInstance(type: Type, key: string | symbol, instance: unknown): void {
  if (typeof instance !== 'object' || instance === null || !Object.hasOwn(instance, key)) return;
  if (isChecked((instance as Readonly<Record<string | symbol, unknown>>)[key])) return;
  throw new TypeError(
    `${nameOf(type, key)} has lost what it requires: the instance has another function in the place of the method, such as a bound one. Leave the method as it is.`,
  );
}

/** As what a class requires holds for its subclasses, what a method requires is not lost by oversight. */
function assertKeptByOverride(
  type: Type,
  key: string | symbol,
  { current, method }: { readonly current: Type; readonly method: object },
): void {
  const override = methodOf(type, key);
  if (override === method || typeof override !== 'function' || !isMarkedBy(override, HANDLER_KEYS)) return;
  const kept: Requirements = { ...marksOf(type), ...marksOf(override) };
  if (Object.keys(marksOf(method) ?? {}).every((kind) => kind in kept)) return;
  throw new TypeError(
    `${nameOf(type, key)} requires less than ${nameOf(current, key)}, which it overrides. Repeat ${DECORATORS} on it, or give it another name.`,
  );
}

function assertNoFieldOf(type: Type): void {
  const ofClass = marksOf(type);
  for (const current of chainOf(type)) {
    for (const key of Reflect.ownKeys(Object(current.prototype) as object)) {
      const method = methodOf(current, key);
      if (typeof method !== 'function' || !isMarkedBy(method, FIELD_KEYS)) continue;
      if (ofClass === undefined && marksOf(method) === undefined) continue;
      throw new TypeError(
        `${nameOf(type, key)} requires something of the user, and Nest calls no guards for fields. Add fieldResolverEnhancers: ['guards', 'filters'] to the options of GraphQLModule, or put ${DECORATORS} on queries and mutations.`,
      );
    }
  }
}

function guardsFields(modules: ModulesContainer): boolean {
  for (const { providers } of modules.values()) {
    const options: unknown = providers.get(GRAPHQL_OPTIONS)?.instance;
    if (typeof options !== 'object' || options === null) continue;
    const { fieldResolverEnhancers: enhancers } = options as { readonly fieldResolverEnhancers?: unknown };
    if (!Array.isArray(enhancers) || !enhancers.includes('guards')) return false;
  }
  return true;
}

function* chainOf(type: Type): Generator<Type> {
  for (let current: unknown = type; typeof current === 'function'; current = Object.getPrototypeOf(current)) {
    yield current as Type;
  }
}

/** Not read from a getter. */
function methodOf(type: Type, key: string | symbol): unknown {
  for (let owner: unknown = type.prototype; typeof owner === 'object' && owner !== null;) {
    const descriptor = Object.getOwnPropertyDescriptor(owner, key);
    if (descriptor !== undefined) return descriptor.value;
    owner = Object.getPrototypeOf(owner);
  }
  return undefined;
}

function isChecked(method: unknown): method is object {
  if (typeof method !== 'function' || ownMarksOf(method) === undefined) return false;
  const guards: unknown = Reflect.getMetadata(GUARDS_METADATA, method);
  return Array.isArray(guards) && guards.includes(RequirementsGuard);
}

function isMarkedBy(method: object, keys: readonly string[]): boolean {
  return keys.some((key) => Reflect.hasMetadata(key, method));
}

function nameOf({ name }: Type, key: string | symbol): string {
  return `${name}.${String(key)}()`;
}
