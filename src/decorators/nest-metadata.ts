import type { ExecutionContext } from '@nestjs/common';

/** Keys under which Nest keeps what its decorators say. They are no part of its public interface; tests hold each of them. */
export const PATH_METADATA = 'path';
export const GUARDS_METADATA = '__guards__';
export const PIPES_METADATA = '__pipes__';
const SSE_METADATA = '__sse__';
export const FILTERS_METADATA = '__exceptionFilters__';
export const INTERCEPTORS_METADATA = '__interceptors__';
export const GATEWAY_METADATA = 'websockets:is_gateway';
/** Of a handler of messages: of a gateway, of a microservice. */
export const MESSAGE_KEYS = ['websockets:message_mapping', 'microservices:pattern'];
/** Of a resolver of a query, a mutation or a subscription. */
export const RESOLVER_METADATA = 'graphql:resolver_type';
/** Of a resolver of a field, or of a reference of Apollo Federation. */
export const FIELD_KEYS = ['graphql:resolve_property', 'graphql:resolve_reference'];

/** What the metadata of a class or a handler lists under `key`, such as its guards. */
export function metadataList(key: string, target: object): readonly object[] {
  return (Reflect.getMetadata(key, target) ?? []) as readonly object[];
}

/** Puts `entry` in front of such a list, unless it is there. */
export function addFirst(entry: object, key: string, target: object): void {
  const known = metadataList(key, target);
  if (!known.includes(entry)) Reflect.defineMetadata(key, [entry, ...known], target);
}

/** Whether a request runs a handler with `@Sse()`. */
export function isOfEvents(context: ExecutionContext): boolean {
  return context.getType() === 'http' && Reflect.getMetadata(SSE_METADATA, context.getHandler()) === true;
}
