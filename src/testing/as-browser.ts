import { parseSetCookie, type SetCookie } from 'cookie';

/** A request of supertest, or of superagent, as far as `asBrowser()` needs it. */
export interface BrowserRequest {
  readonly url: string;
  set(field: string, value: string): unknown;
  on(event: 'response', listener: (response: BrowserResponse) => void): unknown;
}

/** The response to a {@link BrowserRequest}. */
export interface BrowserResponse {
  readonly headers: Readonly<Record<string, unknown>>;
}

/**
 * A plugin for agents of supertest that makes them send what a browser sends from a page of the application: `Sec-Fetch-Site: same-origin`,
 * without which requests with a cookie are a 403, and the cookies, also `Secure` ones, which agents do not send over plain HTTP.
 * Each call of `asBrowser()` creates a separate browser.
 *
 * @example
 * const agent = request.agent(app.getHttpServer()).use(asBrowser());
 * await agent.post('/login').send({ username: 'ann', password: 'correct horse' }).expect(200);
 * await agent.get('/profile').expect(200);
 */
export function asBrowser(): (request: BrowserRequest) => void {
  const jar = new Map<string, SetCookie>();
  return (request) => {
    request.set('Sec-Fetch-Site', 'same-origin');
    const cookies = [...jar.values()].filter((cookie) => isSentTo(new URL(request.url).pathname, cookie));
    if (cookies.length > 0) request.set('Cookie', cookies.map(({ name, value }) => `${name}=${value}`).join('; '));
    request.on('response', ({ headers }) => {
      for (const line of linesOf(headers['set-cookie'])) store(jar, line);
    });
  };
}

/** Keeps values unchanged, without decoding. */
function store(jar: Map<string, SetCookie>, line: string): void {
  const cookie = parseSetCookie(line, { decode: (value) => value });
  // RFC 6265bis, section 5.7: these attributes identify a cookie; partitioned cookies have a jar of their own.
  const key = [cookie.name, cookie.domain, cookie.path, cookie.partitioned].join(';');
  if (isOver(cookie)) jar.delete(key);
  else jar.set(key, cookie);
}

function isOver({ maxAge, expires }: SetCookie): boolean {
  if (maxAge !== undefined) return maxAge <= 0;
  return expires !== undefined && expires.getTime() <= Date.now();
}

/** RFC 6265bis, section 5.1.4. */
function isSentTo(pathname: string, { path = '/' }: SetCookie): boolean {
  return path === '/' || pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
}

function linesOf(header: unknown): string[] {
  return [header].flat().filter((line) => typeof line === 'string');
}
