const DRIVER_OF = { './redis': 'ioredis', './memcached': 'memjs', './ws': '@nestjs/platform-ws' };

/** What a driver needs beside it. */
const BESIDE = { '@nestjs/platform-ws': ['@nestjs/websockets'] };

/** Packages that an option needs. They are loaded when an application with that option starts, so every entry loads without them. */
export const LOADED_FOR_OPTIONS = ['jose'];

/** What to install for the drivers and options. Packages of Nest have the version of the application. */
export function packagesOf(names, { peerDependencies }, nest) {
  return names
    .flatMap((name) => [name, ...(BESIDE[name] ?? [])])
    .map((name) => `${name}@${name.startsWith('@nestjs/') ? nest : peerDependencies[name]}`);
}

/**
 * The entries that need a package which the others do not, with its name. It is an optional peer, so that only those have it who use the
 * entry.
 */
export function driversOf({ exports, peerDependenciesMeta }) {
  const drivers = Object.fromEntries(Object.entries(DRIVER_OF).filter(([entry]) => entry in exports));
  const optional = Object.keys(peerDependenciesMeta).filter((name) => peerDependenciesMeta[name].optional);
  const needed = [...Object.values(drivers), ...LOADED_FOR_OPTIONS];
  const [expected, actual] = [needed, optional].map((names) => names.sort().join(', '));
  if (actual !== expected)
    throw new Error(`The optional peers are ${actual}; what entries and options need, ${expected}.`);
  return drivers;
}
