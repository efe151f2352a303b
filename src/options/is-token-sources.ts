import { HasNoFaults } from './has-no-faults.js';

const SOURCES: readonly unknown[] = ['header', 'bearer', 'cookie'];

interface OtherOptions {
  readonly useBearerToken?: unknown;
  readonly cookie?: unknown;
}

/** A non-empty list of different token sources. At least one is enabled, and `'cookie'` is listed if the option `cookie` is set. */
export function IsTokenSources(): PropertyDecorator {
  return HasNoFaults('isTokenSources', (value, owner) =>
    faultsOf(value, owner).map((fault) => `tokenSourcePriority ${fault}`),
  );
}

function faultsOf(value: unknown, { useBearerToken, cookie }: OtherOptions): string[] {
  if (!Array.isArray(value) || value.length === 0 || !value.every((source) => SOURCES.includes(source))) {
    return [`must be a list of values out of ${SOURCES.join(', ')}`];
  }
  const faults: string[] = [];
  if (new Set(value).size < value.length) faults.push('names a source twice');
  if (useBearerToken !== true && value.every((source) => source === 'bearer')) {
    faults.push('leaves no place for a token: it names bearer alone, and useBearerToken is off');
  }
  if (cookie !== undefined && !value.includes('cookie')) {
    faults.push("lacks 'cookie', though the option cookie is set: add it");
  }
  return faults;
}
