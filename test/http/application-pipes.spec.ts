import { afterEach, describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  Injectable,
  Scope,
  UsePipes,
  ValidationPipe,
  type ArgumentMetadata,
  type INestApplication,
  type PipeTransform,
  type Provider,
  type Type,
  type ValidationPipeOptions,
} from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { instanceToPlain, plainToInstance } from 'class-transformer';
import { IsEmail, IsString } from 'class-validator';
import {
  CsrfToken,
  CurrentSession,
  CurrentUser,
  FlashMessages,
  OptionalSession,
  Session,
  SessionEvents,
  SessionService,
  type FlashMessage,
  type SessionUser,
} from 'nestjs-sessionx';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { inspect } from 'node:util';

import { PLATFORMS, startApp, type AppUnderTest, type Platform } from '../support/apps.js';

/** What an application may declare as the type of a parameter: rules that no session keeps. */
class StrictUser {
  @IsString()
  userId!: string;

  @IsEmail()
  address!: string;
}

@Controller()
class ParametersController {
  @Get('session')
  session(@CurrentSession() session: Session) {
    return { id: session.sessionId };
  }

  @Get('session-or-null')
  sessionOrNull(@OptionalSession() session: Session | null) {
    return { id: session?.sessionId };
  }

  @Get('optional-class')
  optionalClass(@OptionalSession() session: Session) {
    return { id: session.sessionId };
  }

  @Get('interface')
  user(@CurrentSession('user') user: SessionUser) {
    return { id: user.userId };
  }

  @Get('validated-class')
  validatedClass(@CurrentSession('user') user: StrictUser) {
    return { id: user.userId };
  }

  @Get('optional-validated-class')
  optionalValidatedClass(@OptionalSession('user') user: StrictUser | null) {
    return { id: user?.userId };
  }

  @Get('string')
  string(@CurrentSession('sessionId') id: string) {
    return { id };
  }

  @Get('date')
  date(@CurrentSession('createdAt') createdAt: Date) {
    return { id: createdAt.getTime() };
  }

  @Get('boolean')
  boolean(@CurrentSession('isAnonymous') isAnonymous: boolean) {
    return { id: isAnonymous };
  }

  @Get('flash')
  flash(@FlashMessages() messages: FlashMessage[]) {
    return { id: messages.map(({ message }) => message) };
  }

  @Get('csrf')
  csrf(@CsrfToken() token: string) {
    return { id: token.length };
  }

  @Get('csrf-or-null')
  csrfOrNull(@CsrfToken() token: string | null) {
    return { id: token?.length };
  }

  @Get('two')
  two(@CurrentSession() session: Session, @CurrentUser() user: SessionUser) {
    return { id: [session.sessionId, user.userId] };
  }

  @Get('several')
  several(
    @CurrentSession() session: Session,
    @OptionalSession('user') user: StrictUser,
    @FlashMessages() messages: FlashMessage[],
    @CsrfToken() token: string,
  ) {
    return { id: [session.sessionId, user.userId, messages.length, token.length] };
  }
}

const FLAGS = ['transform', 'whitelist', 'forbidNonWhitelisted', 'forbidUnknownValues'] as const;

const COMBINATIONS: ValidationPipeOptions[] = Array.from({ length: 2 ** FLAGS.length }, (_, bits) =>
  Object.fromEntries(FLAGS.map((flag, index) => [flag, (bits & (1 << index)) !== 0])),
);

interface Arrangement {
  readonly platform: Platform;
  readonly controllers?: Type[];
  readonly pipe?: PipeTransform;
  readonly providers?: Provider[];
  readonly configure?: (app: INestApplication) => void;
}

describe.each(PLATFORMS)('pipes of the application, on %s', (platform) => {
  let running: AppUnderTest | undefined;

  afterEach(() => running?.close());

  async function start({
    controllers = [ParametersController],
    pipe,
    providers = pipe === undefined ? [] : [{ provide: APP_PIPE, useValue: pipe }],
    configure,
  }: Omit<Arrangement, 'platform'>) {
    const started = await startApp({
      platform,
      controllers,
      session: { tokenSourcePriority: ['cookie', 'header', 'bearer'] },
      providers,
      ...(configure === undefined ? {} : { configure }),
    });
    running = started;
    const { session, token } = await started.app.get(SessionService).createSession({ user: { userId: 'ann' } });
    session.addFlashMessage('Welcome');
    await started.app.get(SessionService).updateSession(session);
    const cookie = `__Host-session=${token}`;
    const read = async (path: string) => {
      const response = await started.fetch(path, { headers: { cookie } });
      return [response.status, await response.json()];
    };
    return { ...started, session, token, read };
  }

  it.each(COMBINATIONS)('a ValidationPipe for custom decorators too lets sessions through: %j', async (options) => {
    const pipe = new ValidationPipe({ ...options, validateCustomDecorators: true });
    const { session, read } = await start({ configure: (app) => app.useGlobalPipes(pipe) });
    const { sessionId } = session;
    expect(await read('/session')).toEqual([200, { id: sessionId }]);
    expect(await read('/session-or-null')).toEqual([200, { id: sessionId }]);
    expect(await read('/optional-class')).toEqual([200, { id: sessionId }]);
    expect(await read('/interface')).toEqual([200, { id: 'ann' }]);
    expect(await read('/validated-class')).toEqual([200, { id: 'ann' }]);
    expect(await read('/optional-validated-class')).toEqual([200, { id: 'ann' }]);
    expect(await read('/string')).toEqual([200, { id: sessionId }]);
    expect(await read('/date')).toEqual([200, { id: session.createdAt.getTime() }]);
    expect(await read('/boolean')).toEqual([200, { id: false }]);
    expect(await read('/flash')).toEqual([200, { id: ['Welcome'] }]);
    expect(await read('/csrf')).toEqual([200, { id: 86 }]);
    expect(await read('/csrf-or-null')).toEqual([200, { id: 86 }]);
    expect(await read('/several')).toEqual([200, { id: [sessionId, 'ann', 0, 86] }]);
    expect((await fetch(`${await running!.app.getUrl()}/session`)).status).toBe(401);
  });

  /** Looks at all that it is given as closely as a program can. */
  class CuriousPipe implements PipeTransform {
    readonly seen: { readonly value: unknown; readonly metadata: ArgumentMetadata }[] = [];

    transform(value: unknown, metadata: ArgumentMetadata): unknown {
      this.seen.push({ value, metadata });
      return value;
    }
  }

  it('see nothing of request, socket, token and session, wherever they are bound', async () => {
    const pipes = { global: new CuriousPipe(), controller: new CuriousPipe(), method: new CuriousPipe() };

    @UsePipes(pipes.controller)
    @Controller()
    class WatchedController extends ParametersController {
      @UsePipes(pipes.method)
      @Get('watched')
      watched(
        @CurrentSession() session: Session,
        @OptionalSession('user') user: SessionUser,
        @CsrfToken() csrf: string,
      ) {
        return { id: [session.sessionId, user.userId, csrf.length] };
      }
    }

    const { session, token, read } = await start({ controllers: [WatchedController], pipe: pipes.global });
    expect(await read('/watched')).toEqual([200, { id: [session.sessionId, 'ann', 86] }]);
    expect(await read('/several')).toEqual([200, { id: [session.sessionId, 'ann', 1, 86] }]);
    expect([pipes.global, pipes.controller, pipes.method].map(({ seen }) => seen.length)).toEqual([7, 7, 3]);
    for (const { value, metadata } of Object.values(pipes).flatMap(({ seen }) => seen)) {
      expect(metadata.type).toBe('custom');
      for (const reached of everythingIn([value, metadata])) {
        expect(reached).not.toBeInstanceOf(IncomingMessage);
        expect(reached).not.toBeInstanceOf(ServerResponse);
        expect(reached).not.toBeInstanceOf(Socket);
        expect(reached).not.toBeInstanceOf(Session);
      }
      const text = [
        inspect(value, { depth: null, showHidden: true, getters: true }),
        JSON.stringify(value),
        String(value),
        inspect({ ...(value as object) }, { depth: null, showHidden: true }),
      ].join('\n');
      expect(text).not.toContain(token);
      expect(text).not.toContain(session.sessionId);
      expect(text).not.toContain('__Host-session');
      expect(text).not.toContain('ann');
    }
  });

  /** What a pipe is given that is bound in one way alone. */
  let given: unknown[];

  const alone: [where: string, arrange: () => Promise<Awaited<ReturnType<typeof start>>>][] = [
    [
      'on a class that inherits the handler',
      () => {
        @UsePipes(NotingPipe)
        @Controller()
        class InheritingController extends ParametersController {}
        return start({ controllers: [InheritingController] });
      },
    ],
    [
      'by a provider that is made for each request',
      () => start({ providers: [{ provide: APP_PIPE, useClass: NotingPipe, scope: Scope.REQUEST }] }),
    ],
    [
      'after the first request, where a controller is made for each',
      async () => {
        @Controller({ scope: Scope.REQUEST })
        class RequestController extends ParametersController {}
        const started = await start({ controllers: [RequestController] });
        await started.read('/session');
        started.app.useGlobalPipes(new NotingPipe());
        return started;
      },
    ],
  ];

  @Injectable()
  class NotingPipe implements PipeTransform {
    transform(value: unknown): unknown {
      given.push(value);
      return value;
    }
  }

  it.each(alone)('see no session where they are bound only %s', async (_where, arrange) => {
    given = [];
    const { session, read } = await arrange();
    expect(await read('/session')).toEqual([200, { id: session.sessionId }]);
    expect(given).toHaveLength(1);
    expect(given[0]).not.toBeInstanceOf(Session);
  });

  it('of a request without a token, several parameters make one rejection', async () => {
    const { app, fetch } = await start({});
    const reasons: string[] = [];
    app
      .get(SessionEvents)
      .on('rejected')
      .subscribe(({ reason }) => reasons.push(reason));
    expect((await fetch('/two')).status).toBe(401);
    expect(reasons).toEqual(['TOKEN_MISSING']);
  });

  /** Cleans strings at any depth, as pipes against scripts in input do. */
  class TrimmingPipe implements PipeTransform {
    transform(value: unknown): unknown {
      if (typeof value === 'string') return value.trim();
      if (Array.isArray(value)) return value.map((entry) => this.transform(entry));
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, this.transform(entry)]));
    }
  }

  it('that copy the value, change it in place, or write it to a log, do no harm', async () => {
    const log: string[] = [];
    const pipes: PipeTransform[] = [
      new TrimmingPipe(),
      { transform: (value: object) => ({ ...value }) },
      { transform: (value: object) => Object.assign(value, { seen: true }) },
      { transform: (value: object) => plainToInstance(Object, value) },
      { transform: (value: object) => plainToInstance(StrictUser, value) },
      { transform: (value: object) => instanceToPlain(value) },
      { transform: (value: object) => (log.push(JSON.stringify(value).slice(0, 100), inspect(value)), value) },
      { transform: (value: object) => Object.freeze(value) },
    ];
    const { session, token, read } = await start({ configure: (app) => app.useGlobalPipes(...pipes) });
    expect(await read('/several')).toEqual([200, { id: [session.sessionId, 'ann', 1, 86] }]);
    expect(log.join()).not.toContain(token);
  });

  it('that put something else in its place are named in a 500 and in the log', async () => {
    const errors: string[] = [];
    const replacing: PipeTransform = { transform: (value: unknown): unknown => JSON.parse(JSON.stringify(value)) };
    const { read } = await start({
      configure: (app) => {
        app.useGlobalPipes(replacing);
        app.useLogger({ log: ignore, warn: ignore, error: (message: string) => errors.push(message) });
      },
    });
    for (const path of ['/session', '/optional-class', '/flash', '/csrf']) {
      expect(await read(path)).toEqual([500, { statusCode: 500, message: 'Internal Server Error' }]);
    }
    expect(errors).toHaveLength(4);
    for (const error of errors) expect(error).toMatch(/pipe.*metadata\.type.*'custom'/);
  });

  it('leave the description of the API as it is', async () => {
    const { app } = await start({});
    const { paths } = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    expect(Object.keys(paths)).toHaveLength(14);
    for (const path of Object.values(paths)) expect(path.get?.parameters).toEqual([]);
  });
});

function ignore(): void {
  // Not of interest.
}

/** All values that can be reached from `start` by own properties, hidden ones and those with symbols for names too. */
function everythingIn(start: unknown): Set<unknown> {
  const found = new Set<unknown>();
  const waiting = [start];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (found.has(value)) continue;
    found.add(value);
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null) continue;
    for (const descriptor of Object.values(Object.getOwnPropertyDescriptors(value))) waiting.push(descriptor.value);
  }
  return found;
}
