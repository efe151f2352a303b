/** Removes the entry of a map, or of a set, that was put there first. */
export function forgetOldest<Key>(entries: { keys(): Iterable<Key>; delete(key: Key): boolean }): void {
  for (const oldest of entries.keys()) {
    entries.delete(oldest);
    return;
  }
}
