import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';

import { isPlainObject } from '../is-object.js';
import { SessionCsrfOptions } from './session-csrf-options.js';
import { SessionOptions, type GivenSessionOptions } from './session-options.js';

/**
 * The options with their defaults.
 *
 * @throws TypeError that lists every fault, and never shows a value: some of them are secrets
 */
export function validateOptions(given: GivenSessionOptions): SessionOptions {
  // Objects of the application are passed unchanged, because a transformation would copy them, and would call a function.
  const { backend, tokenFormat, passive, contexts, ...plain } = withoutUndefined(given);
  assertNoFaults(inheritedNames(plain));
  const options = plainToInstance(SessionOptions, plain, { exposeDefaultValues: true });
  if (backend !== undefined) options.backend = backend;
  if (tokenFormat !== undefined) options.tokenFormat = tokenFormat;
  if (passive !== undefined) options.passive = passive;
  if (contexts !== undefined) options.contexts = contexts;
  const faults = validateSync(options, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    validationError: { target: false, value: false },
  }).flatMap((fault) => describe(fault));

  if (isSameName(csrfHeaderOf(options), options.headerName)) {
    faults.push(
      `csrf.headerName cannot be headerName too, which carries the token of the session${options.csrf === undefined ? `; ${options.headerName} is its default, so name one of them otherwise` : ''}`,
    );
  }
  if (options.jwt !== undefined && options.tokenFormat !== 'jwt') {
    faults.push("jwt is set, though tokenFormat is not 'jwt': set tokenFormat, or remove jwt");
  }
  assertNoFaults(faults);
  return withHiddenKeys(options);
}

/** @throws TypeError that lists the faults, if there are any */
export function assertNoFaults(faults: readonly string[]): void {
  if (faults.length === 0) return;
  throw new TypeError(
    `SessionModule cannot start, its options are wrong:\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
  );
}

/** @throws TypeError for what is no object, such as the result of a factory that returns nothing */
export function assertIsObject(given: unknown): asserts given is object {
  if (typeof given === 'object' && given !== null) return;
  throw new TypeError('SessionModule cannot start: its options are not an object. Pass at least { secretKey }.');
}

/** Services have the options, and applications log objects that have a service. */
function withHiddenKeys(options: SessionOptions): SessionOptions {
  for (const key of ['secretKey', 'indexKey'] as const) Object.defineProperty(options, key, { enumerable: false });
  return options;
}

function suggestionFor(wrong: string): string {
  const name = wrong.toLowerCase();
  const near = Object.keys(new SessionOptions()).find((option) => {
    const known = option.toLowerCase();
    return known.includes(name) || name.includes(known);
  });
  return near === undefined ? '' : `; is it ${near}?`;
}

/** `undefined` if CSRF tokens are off. */
function csrfHeaderOf({ csrf, enableCsrf }: SessionOptions): unknown {
  if (csrf !== undefined) return (csrf as SessionCsrfOptions | null)?.headerName;
  return enableCsrf ? new SessionCsrfOptions().headerName : undefined;
}

/** Neither value is validated yet, so each may have any type. */
function isSameName(one: unknown, other: unknown): boolean {
  return typeof one === 'string' && typeof other === 'string' && one.toLowerCase() === other.toLowerCase();
}

/** Faults for names that every object inherits, such as `constructor`: class-transformer drops them, and class-validator takes them for known. */
function inheritedNames(options: object, path = ''): string[] {
  return Object.entries(options).flatMap(([name, value]: [string, unknown]) => {
    if (name in Object.prototype) return [unknownName(path + name)];
    return isPlainObject(value) || Array.isArray(value) ? inheritedNames(value, `${path}${name}.`) : [];
  });
}

function unknownName(name: string): string {
  return `there is no option named ${JSON.stringify(name)}`;
}

function withoutUndefined(given: unknown): Partial<GivenSessionOptions> {
  assertIsObject(given);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function describe({ property, constraints = {}, children = [] }: ValidationError, path = ''): string[] {
  const own = Object.entries(constraints).flatMap(([constraint, message]) => {
    switch (constraint) {
      case 'whitelistValidation':
        return [`${unknownName(path + property)}${path === '' ? suggestionFor(property) : ''}`];
      case 'nestedValidation':
      case 'unknownValue':
        return []; // the option itself reports these with a better message
      default:
        return [message];
    }
  });
  return [...own, ...children.flatMap((child) => describe(child, `${property}.`))];
}
