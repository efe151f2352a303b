/** `T` whose optional fields may be `undefined` too, which `exactOptionalPropertyTypes` refuses otherwise. */
export type OrUndefined<T> = { [K in keyof T]: T extends Record<K, T[K]> ? T[K] : T[K] | undefined };
