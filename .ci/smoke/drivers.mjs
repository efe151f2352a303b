const DRIVER_OF = { './redis': 'ioredis', './memcached': 'memjs' };

/**
 * The entries that need a package which the others do not, with its name. It is an optional peer, so that only those have it who use the
 * entry.
 */
export function driversOf({ exports, peerDependenciesMeta }) {
  const drivers = Object.fromEntries(Object.entries(DRIVER_OF).filter(([entry]) => entry in exports));
  const optional = Object.keys(peerDependenciesMeta).filter((name) => peerDependenciesMeta[name].optional);
  const [expected, actual] = [Object.values(drivers), optional].map((names) => names.sort().join(', '));
  if (actual !== expected)
    throw new Error(`The optional peers are ${actual}; the drivers of the entries, ${expected}.`);
  return drivers;
}
