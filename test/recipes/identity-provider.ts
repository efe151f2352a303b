import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Grant {
  readonly userId: string;
  readonly challenge: string;
  readonly redirectUri: string;
}

/** An OAuth 2.0 provider that signs everybody in: authorization code with PKCE (RFC 6749, RFC 7636), S256 only. */
export class IdentityProvider {
  static readonly clientId = 'shop';
  static readonly clientSecret = 'a secret of the shop';

  /** The user whom the next visit of `/authorize` signs in. */
  userId = 'ann';
  /** Whether the token endpoint works. */
  isInOrder = true;
  readonly #server: Server;
  readonly #codes = new Map<string, Grant>();
  readonly #accessTokens = new Map<string, string>();

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.writeHead(500).end());
    });
  }

  static async start(): Promise<IdentityProvider> {
    const provider = new IdentityProvider();
    provider.#server.listen(0);
    await once(provider.#server, 'listening');
    return provider;
  }

  /** To a browser, `localhost` and `127.0.0.1` are two sites. */
  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    switch (pathname) {
      case '/authorize':
        this.#authorize(searchParams, response);
        break;
      case '/token':
        this.#token(new URLSearchParams(await textOf(request)), response);
        break;
      case '/userinfo':
        this.#userinfo(request.headers.authorization, response);
        break;
      default:
        response.writeHead(404).end();
    }
  }

  /** A page with a script, so that the way back is a navigation that this site has begun. */
  #authorize(query: URLSearchParams, response: ServerResponse): void {
    const [redirectUri, challenge, state] = ['redirect_uri', 'code_challenge', 'state'].map((name) => query.get(name));
    const isValid = query.get('client_id') === IdentityProvider.clientId && query.get('response_type') === 'code';
    if (!isValid || !redirectUri || !challenge || !state || query.get('code_challenge_method') !== 'S256') {
      response.writeHead(400).end('not a request of ours');
      return;
    }
    const code = randomUUID();
    this.#codes.set(code, { userId: this.userId, challenge, redirectUri });
    const back = `${redirectUri}?${new URLSearchParams({ code, state }).toString()}`;
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(`<title>provider</title><script>location.href = ${JSON.stringify(back)}</script>`);
  }

  #token(form: URLSearchParams, response: ServerResponse): void {
    const code = form.get('code') ?? '';
    const grant = this.#codes.get(code);
    this.#codes.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isClient =
      form.get('client_id') === IdentityProvider.clientId &&
      form.get('client_secret') === IdentityProvider.clientSecret;
    const isValid = grant?.challenge === challenge && grant.redirectUri === form.get('redirect_uri');
    if (!this.isInOrder || !isClient || !isValid) {
      json(response, this.isInOrder ? 400 : 500, { error: 'invalid_grant' });
      return;
    }
    const accessToken = randomUUID();
    this.#accessTokens.set(accessToken, grant.userId);
    json(response, 200, { access_token: accessToken, token_type: 'Bearer' });
  }

  #userinfo(authorization: string | undefined, response: ServerResponse): void {
    const sub = this.#accessTokens.get(authorization?.replace(/^Bearer /, '') ?? '');
    json(response, sub === undefined ? 401 : 200, { sub });
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
  return text;
}
