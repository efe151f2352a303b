import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';

import { SessionOptions, type SessionModuleOptions } from './session-options.js';

/**
 * The options with their defaults.
 *
 * @throws TypeError that lists every fault, and never shows a value: some of them are secrets
 */
export function validateOptions(given: SessionModuleOptions): SessionOptions {
  // Objects of the application's own are kept as they are: a transformation would copy them.
  const { backend, tokenFormat, ...plain } = withoutUndefined(given);
  const options = plainToInstance(SessionOptions, plain, { exposeDefaultValues: true });
  if (backend !== undefined) options.backend = backend;
  if (tokenFormat !== undefined) options.tokenFormat = tokenFormat;
  const faults = validateSync(options, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    validationError: { target: false, value: false },
  }).flatMap(describe);

  if (faults.length > 0) {
    throw new TypeError(
      `SessionModule cannot start, its options are wrong:\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
    );
  }
  return options;
}

function withoutUndefined(given: unknown): Partial<SessionOptions> {
  if (typeof given !== 'object' || given === null) {
    throw new TypeError('SessionModule cannot start: its options are not an object. Pass at least { secretKey }.');
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function describe({ property, constraints = {} }: ValidationError): string[] {
  return Object.entries(constraints).map(([constraint, message]) =>
    constraint === 'whitelistValidation' ? `there is no option named ${JSON.stringify(property)}` : message,
  );
}
