import { ValidateBy } from 'class-validator';

/** A list of origins as browsers spell them in `Origin` (RFC 6454, section 6.2): scheme, host, and a port only if it is not the default. */
export function AreOrigins(): PropertyDecorator {
  return ValidateBy({
    name: 'areOrigins',
    validator: {
      validate: (value: unknown) => Array.isArray(value) && value.every(isOrigin),
      defaultMessage: () =>
        'csrf.allowedOrigins must be a list of origins such as https://app.example.com: no path, no slash at the end, no default port',
    },
  });
}

/** Applications in a web view have schemes of their own, such as `capacitor://localhost`, which the URL standard gives no origin. */
const OTHER_SCHEME = /^(?!https?:)[a-z][a-z0-9+.-]{0,31}:\/\/[a-z0-9.-]{1,253}(:\d{1,5})?$/;

function isOrigin(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  return (
    OTHER_SCHEME.test(value) || (/^https?:[^*]+$/.test(value) && URL.canParse(value) && new URL(value).origin === value)
  );
}
