import type { SessionBackend, SessionRecord } from 'nestjs-sessionx';

type Id = SessionRecord['id'];

/** `backend`, of which each read of a record is counted by its id. */
export function countingReads(backend: SessionBackend, reads: Map<string, number>): SessionBackend {
  const count = (ids: readonly Id[]): void => {
    for (const id of ids) reads.set(id, (reads.get(id) ?? 0) + 1);
  };
  return new Proxy(backend, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (name === 'read') count([args[0] as Id]);
        if (name === 'readMany') count(args[0] as Id[]);
        return Reflect.apply(value, target, args);
      };
    },
  });
}
