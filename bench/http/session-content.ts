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

/** The user of one of many logins. All of them take the same number of bytes. */
export function userOf(login: number): typeof USER {
  return { ...USER, userId: USER.userId.slice(0, -6) + String(login % 1_000_000).padStart(6, '0') };
}

/** Whether `body` is the user of some login, as every variant responds to the measured request. */
export function isUser(body: string): boolean {
  const { userId } = JSON.parse(body) as typeof USER;
  return body === JSON.stringify({ ...USER, userId });
}

export const SECRET = 'a key for measurements only, 0123456789 0123456789';
export const TTL_SECONDS = 3600;
