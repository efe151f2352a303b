/** What every variant keeps in its session; the lists first, as `login()` stores a user. */
export const USER = {
  roles: ['editor', 'reviewer'],
  permissions: ['posts:read', 'posts:write', 'comments:moderate'],
  metadata: { locale: 'en-GB', tenant: 'example' },
  userId: 'b7f6c1de-6f0a-4d53-9a42-0c8f6f2f7a11',
  username: 'ada',
  email: 'ada@example.org',
};

export const DATA = {
  cart: [
    { sku: 'A-1001', quantity: 2 },
    { sku: 'B-2002', quantity: 1 },
  ],
  theme: 'dark',
  lastPage: '/articles/42',
};

/** The response of every variant to the measured request. */
export const EXPECTED_BODY = JSON.stringify(USER);

export const SECRET = 'a key for measurements only, 0123456789 0123456789';
export const TTL_SECONDS = 3600;
