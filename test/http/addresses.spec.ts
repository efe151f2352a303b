import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  HttpCode,
  Injectable,
  Post,
  Req,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
} from '@nestjs/common';
import {
  CurrentSession,
  Session,
  SessionEvents,
  SessionGuard,
  SessionSecurityError,
  SessionService,
  UseSession,
  type SessionEvent,
} from 'nestjs-sessionx';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';

import { PLATFORMS, startApp, type AppOptions, type AppUnderTest } from '../support/apps.js';

@Controller()
class AddressController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    const { session, token } = await this.sessions.login(request, { userId: 'ann' });
    return { token, ip: session.ipAddress };
  }

  @UseSession()
  @HttpCode(200)
  @Post('cart')
  async cart(@Req() request: object) {
    const { session, token } = await this.sessions.start(request);
    return { token, ip: session.ipAddress };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { ip: session.ipAddress };
  }
}

const PORT_OF_AZURE = '203.0.113.7:51008';
const NOT_ADDRESSES = [
  'unknown',
  '_hidden',
  '010.0.0.1',
  'client.example',
  '203.0.113.7.',
  '🙂',
  '<script>'.repeat(40),
];

interface Lines {
  readonly warnings: string[];
  readonly errors: string[];
}

describe.each(PLATFORMS)('the address of a client, on %s', (platform) => {
  let running: AppUnderTest | undefined;

  afterEach(() => running?.close());

  async function start(options: Partial<AppOptions>): Promise<AppUnderTest & Lines & { events: SessionEvent[] }> {
    const lines: Lines = { warnings: [], errors: [] };
    const app = await startApp({
      platform,
      controllers: [AddressController],
      ...options,
      configure: (nest: INestApplication) => {
        nest.useLogger({
          log: ignore,
          warn: (line: string) => lines.warnings.push(line),
          error: (line: string) => lines.errors.push(line),
        });
      },
    });
    running = app;
    const events: SessionEvent[] = [];
    app.app.get(SessionEvents).all.subscribe((event) => events.push(event));
    return { ...app, ...lines, events };
  }

  const post = async (app: AppUnderTest, path: string, headers: Record<string, string>) => {
    const response = await app.fetch(path, { method: 'POST', headers });
    return { status: response.status, body: (await response.json()) as { token: string; ip: string | null } };
  };

  const getMe = async (app: AppUnderTest, token: string, forwarded: string) =>
    (await app.fetch('/me', { headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': forwarded } })).status;

  it('may come with a port from a trusted proxy, and is the same with another one', async () => {
    const app = await start({ trustProxy: true, session: { ipBinding: true } });
    for (const path of ['/login', '/cart']) {
      const { status, body } = await post(app, path, { 'x-forwarded-for': PORT_OF_AZURE });
      expect([status, body.ip]).toEqual([200, '203.0.113.7']);
    }
    const { body } = await post(app, '/login', { 'x-forwarded-for': PORT_OF_AZURE });
    for (const same of [PORT_OF_AZURE, '203.0.113.7:1', '203.0.113.7', '[::ffff:203.0.113.7]:9', '::FFFF:CB00:7107']) {
      expect(await getMe(app, body.token, same)).toBe(200);
    }
    expect(await getMe(app, body.token, '203.0.113.8:51008')).toBe(401);
    expect(app.events.at(-1)).toMatchObject({ reason: 'BINDING_IP_MISMATCH', ipAddress: '203.0.113.8' });
    expect(app.warnings).toEqual([]);
  });

  it('may be an IPv6 address in brackets, with a port, a zone, or quotes', async () => {
    const app = await start({ trustProxy: true, session: { ipBinding: { ipv6Prefix: 64 } } });
    const { body } = await post(app, '/login', { 'x-forwarded-for': '[2001:DB8::1]:443' });
    expect(body.ip).toBe('2001:db8::1');
    for (const near of [
      '2001:db8::2',
      '"[2001:db8::3]:51008"',
      '2001:db8:0:0:ffff::1%eth0',
      '[2001:db8::9%25eth0]:1',
    ]) {
      expect(await getMe(app, body.token, near)).toBe(200);
    }
    expect(await getMe(app, body.token, '[2001:db8:0:1::1]:443')).toBe(401);
  });

  it.each(NOT_ADDRESSES)('is needed for a binding: %s is shown, with the setting to look at', async (text) => {
    const app = await start({ trustProxy: true, session: { ipBinding: true } });
    const sent = Buffer.from(text).toString('latin1');
    const { status, body } = await post(app, '/login', { 'x-forwarded-for': sent });
    expect([status, body]).toEqual([500, { statusCode: 500, message: 'Internal Server Error' }]);
    expect(app.errors).toHaveLength(1);
    expect(app.errors[0]).toMatch(
      /ipBinding is on.* is not an IP address\..*'trust proxy' \(Express\) or trustProxy \(Fastify\)/,
    );
    expect(app.errors[0]).toMatch(/^[\x20-\x7e\xa1-\xff…]{1,400}$/);
    if (/^[\w.]+$/.test(text)) expect(app.errors[0]).toContain(`"${text}"`);

    const good = await post(app, '/login', { 'x-forwarded-for': '203.0.113.7' });
    expect(await getMe(app, good.body.token, sent)).toBe(401);
    expect(app.events.at(-1)).toMatchObject({ reason: 'BINDING_IP_MISMATCH', ipAddress: null });
  });

  it('is null without a binding where there is none, and one warning says so', async () => {
    const app = await start({ trustProxy: true });
    for (let round = 0; round < 3; round++) {
      const { status, body } = await post(app, '/login', { 'x-forwarded-for': 'unknown' });
      expect([status, body.ip]).toEqual([200, null]);
    }
    expect(app.warnings).toEqual([expect.stringMatching(/"unknown" is none: .*trustProxy/)]);
  });

  it.each([
    { trustProxy: undefined, said: true },
    { trustProxy: '192.0.2.0/24', said: true },
    { trustProxy: 'loopback', said: false },
    // Express takes it for the number of proxies; Fastify for none, and only its types refuse it.
    { trustProxy: 1 as never, said: platform === 'fastify' },
  ])('is that of a proxy in vain where the framework trusts $trustProxy: warned of: $said', async (setting) => {
    const { trustProxy, said } = setting;
    const app = await start({ session: { ipBinding: true }, ...(trustProxy === undefined ? {} : { trustProxy }) });
    for (const client of ['203.0.113.7', '203.0.113.8:1']) {
      const { body } = await post(app, '/login', { 'x-forwarded-for': client });
      expect(body.ip).toBe(said ? '127.0.0.1' : client.split(':')[0]);
    }
    expect(app.warnings).toEqual(
      said ? [expect.stringMatching(/ipBinding.*X-Forwarded-For.*'trust proxy'.*trustProxy.*number for none/)] : [],
    );
  });

  it('is no cause for a warning where no proxy is named, or the client is on its machine', async () => {
    const app = await start({ session: { ipBinding: true }, trustProxy: 'loopback' });
    expect((await post(app, '/login', {})).body.ip).toBe('127.0.0.1');
    expect((await post(app, '/login', { 'x-forwarded-for': '127.0.0.1:80' })).body.ip).toBe('127.0.0.1');
    expect(app.warnings).toEqual([]);
  });

  /** Lets a request go on when its client has gone. */
  @Injectable()
  class LateGuard implements CanActivate {
    static arrived: () => void;

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const { socket } = rawOf(context.switchToHttp().getRequest<Request>());
      LateGuard.arrived();
      if (!socket.destroyed) await once(socket, 'close');
      return true;
    }
  }

  const outcomes: { add: (outcome: unknown) => void } = { add: ignore };

  @Injectable()
  class ReportingGuard extends SessionGuard {
    override async canActivate(context: ExecutionContext): Promise<boolean> {
      const outcome = await Promise.resolve(super.canActivate(context)).catch((error: unknown) => error);
      outcomes.add(outcome);
      if (outcome instanceof Error) throw outcome;
      return true;
    }
  }

  @UseGuards(LateGuard)
  @Controller('late')
  class LateController {
    constructor(private readonly sessions: SessionService) {}

    @UseGuards(ReportingGuard)
    @Get('me')
    me() {
      return 'nobody reads this';
    }

    @UseSession()
    @Post('login')
    async login(@Req() request: object) {
      const outcome = await this.sessions.login(request, { userId: 'ann' }).catch((error: unknown) => error);
      outcomes.add(outcome);
      if (outcome instanceof Error) throw outcome;
    }
  }

  it.each([
    ['is not known of a request whose client has gone, which is no mismatch', 'GET /late/me'],
    ['is not known either for a login whose client has gone, which is no fault of the set-up', 'POST /late/login'],
  ])('%s', async (_, line) => {
    const app = await start({ controllers: [LateController], session: { ipBinding: true, userAgentBinding: true } });
    const sessions = app.app.get(SessionService);
    const client = { ipAddress: '127.0.0.1', userAgent: 'phone' };
    const { token } = await sessions.createSession({ user: { userId: 'ann' }, ...client });
    const before = app.events.length;

    const arrived = new Promise<void>((resolve) => (LateGuard.arrived = resolve));
    const outcome = new Promise<unknown>((resolve) => (outcomes.add = resolve));
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
    const sent = line.startsWith('GET') ? `X-Session-Token: ${token}\r\n` : '';
    socket.write(`${line} HTTP/1.1\r\nHost: x\r\nUser-Agent: phone\r\nContent-Length: 0\r\n${sent}\r\n`);
    await arrived;
    socket.destroy();

    const error = await outcome;
    expect(error).toBeInstanceOf(SessionSecurityError);
    expect(error).toMatchObject({ code: 'BINDING_IP_UNKNOWN', status: 503 });
    expect(app.events.slice(before)).toEqual([]);
    expect(app.errors).toEqual([]);
    expect((await sessions.getSession(token, client)).user?.userId).toBe('ann');
  });
});

interface Request {
  readonly raw?: IncomingMessage;
}

function rawOf(request: Request): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

function ignore(): void {
  // Not of interest.
}
