import { ValidateBy } from 'class-validator';

/** A list of `ContextReader`s. */
export function AreContextReaders(): PropertyDecorator {
  return ValidateBy({
    name: 'areContextReaders',
    validator: {
      validate: (value: unknown) => Array.isArray(value) && value.every(isReader),
      defaultMessage: () =>
        "contexts must be a list of ContextReaders, such as { type: 'rpc', read: (context) => ({ request, response: null, lifetime: 'request' }) }",
    },
  });
}

function isReader(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { type, read } = value as { readonly type?: unknown; readonly read?: unknown };
  return typeof type === 'string' && type !== '' && typeof read === 'function';
}
