import { expect } from '@jest/globals';

export const ALICE = { username: 'alice', password: 'correct horse battery staple' };
export const ADMIN = { username: 'admin', password: 'another horse for another battery' };

let clients = 0;

/** One device of a user, with an address of its own. */
export class Client {
  token: string | undefined;
  readonly #identity: Readonly<Record<string, string>>;

  constructor(
    private readonly url: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    clients += 1;
    this.#identity = { 'user-agent': 'a device/1.0', 'x-forwarded-for': `198.51.100.${clients}`, ...headers };
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.url + path, { headers: { ...this.#headers(), ...headers } });
  }

  post(path: string, body?: object): Promise<Response> {
    return fetch(this.url + path, {
      method: 'POST',
      headers: { ...this.#headers(), 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async logIn(credentials: object = ALICE): Promise<this> {
    const response = await this.post('/api/auth/login', credentials);
    expect(response.status).toBe(200);
    const { token } = (await response.json()) as { token: string };
    this.token = token;
    return this;
  }

  #headers(): Record<string, string> {
    return { ...this.#identity, ...(this.token === undefined ? {} : { authorization: `Bearer ${this.token}` }) };
  }
}
