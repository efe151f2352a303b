import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Logger, type INestApplication } from '@nestjs/common';
import { context, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { MemoryBackend, SessionService } from 'nestjs-sessionx';
import type { Server } from 'node:http';
import { inspect } from 'node:util';

import { Examples } from '../docs/examples.js';
import { PLATFORMS, startApp, type AppUnderTest } from '../support/apps.js';
import { HandlerController, Handlers, type Handler } from '../support/handler-controller.js';
import { soon } from '../support/soon.js';

const USER = { userId: 'ann-1', username: 'Ann Smith' };
const exporter = new InMemorySpanExporter();

let examples: Examples;
let stop: () => void;

/** As the instrumentation of OpenTelemetry does it: the whole request runs in the context of its span. */
function traceRequests(app: INestApplication): void {
  const server = app.getHttpServer() as Server;
  const emit = server.emit.bind(server) as (...args: unknown[]) => boolean;
  server.emit = (event: string, ...args: unknown[]): boolean => {
    if (event !== 'request') return emit(event, ...args);
    const [request, response] = args as [NodeJS.EventEmitter, NodeJS.EventEmitter];
    const span = trace.getTracer('http').startSpan('HTTP', {}, ROOT_CONTEXT);
    const inSpan = trace.setSpan(ROOT_CONTEXT, span);
    for (const emitter of [request, response]) context.bind(inSpan, emitter);
    response.once('close', () => {
      span.end();
    });
    return context.with(inSpan, () => emit(event, ...args));
  };
}

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  examples = new Examples();
  const { traceSessions } = await examples.load('docs/observability.md', 'session-spans.ts');
  stop = (traceSessions as () => () => void)();
});

afterAll(() => {
  stop();
  examples.remove();
  trace.disable();
  context.disable();
});

describe.each(PLATFORMS)('the recipe for OpenTelemetry, on %s', (platform) => {
  let app: AppUnderTest;
  let backend: MemoryBackend;
  let token: string;

  beforeEach(async () => {
    backend = new MemoryBackend();
    app = await startApp({
      platform,
      controllers: [HandlerController],
      providers: [Handlers],
      session: { backend },
      configure: traceRequests,
    });
    ({ token } = await app.app.get(SessionService).createSession({ user: USER }));
    exporter.reset();
  });

  afterEach(() => app.close());

  async function run(
    handler: Handler,
    headers: Record<string, string> = { authorization: `Bearer ${token}` },
  ): Promise<number> {
    app.app.get(Handlers).current = handler;
    const before = spansNamed('HTTP').length;
    const response = await app.fetch('/run', { method: 'POST', headers });
    await response.text();
    await soon(() => spansNamed('HTTP').length > before || undefined);
    return response.status;
  }

  const spansNamed = (name: string): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => span.name === name);

  /** Each span with the names of its parents up to the request, such as `HTTP > session.load > session.store read`. */
  function paths(): string[] {
    const spans = exporter.getFinishedSpans();
    const nameOf = ({ name, attributes }: ReadableSpan) =>
      name === 'HTTP' ? name : `${name} ${String(attributes['session.operation'])}`;
    const pathOf = (span: ReadableSpan): string => {
      const id = span.parentSpanContext?.spanId;
      if (id === undefined) return nameOf(span);
      return `${pathOf(spans.find((other) => other.spanContext().spanId === id)!)} > ${nameOf(span)}`;
    };
    return spans.map(pathOf).sort();
  }

  it('puts a load and a commit under the request, and the calls of the store under them', async () => {
    expect(await run(({ session }) => void (session!.data.cart = ['a private book']))).toBe(200);
    expect(paths()).toEqual([
      'HTTP',
      'HTTP > session.commit commit',
      'HTTP > session.commit commit > session.store replace',
      'HTTP > session.load request',
      'HTTP > session.load request > session.store read',
    ]);
    const ids = new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId));
    expect(ids.size).toBe(1);
    const { sessionId } = await app.app.get(SessionService).getSession(token);
    const [load] = spansNamed('session.load');
    expect(load!.attributes).toEqual({
      'session.operation': 'request',
      'session.id': sessionId,
      'session.outcome': 'found',
    });
    const shown = inspect(
      exporter.getFinishedSpans().map(({ attributes, events, status }) => ({ attributes, events, status })),
      {
        depth: 10,
      },
    );
    for (const text of [token, token.slice(16, 48), USER.userId, USER.username, 'a private book']) {
      expect(shown).not.toContain(text);
    }
  });

  it('puts a login and a logout there, with what they call', async () => {
    expect(await run(({ sessions, request }) => sessions.login(request, USER).then(() => 'ok'), {})).toBe(200);
    expect(await run(({ sessions, request }) => sessions.logout(request))).toBe(200);
    expect(paths()).toEqual([
      'HTTP',
      'HTTP',
      'HTTP > session.end logout',
      'HTTP > session.end logout > session.store delete',
      'HTTP > session.load request',
      'HTTP > session.load request',
      'HTTP > session.load request > session.store read',
      'HTTP > session.login login',
      'HTTP > session.login login > session.store create',
    ]);
  });

  it('keeps requests apart that run at the same time', async () => {
    await Promise.all(Array.from({ length: 10 }, () => run(({ session }) => void (session!.data.at = Math.random()))));
    const requests = new Map(spansNamed('HTTP').map((span) => [span.spanContext().traceId, span.spanContext().spanId]));
    expect(requests.size).toBe(10);
    for (const name of ['session.load', 'session.commit']) {
      const spans = spansNamed(name);
      expect(spans).toHaveLength(10);
      for (const span of spans) expect(span.parentSpanContext?.spanId).toBe(requests.get(span.spanContext().traceId));
      expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(10);
    }
  });

  it('marks what fails in an outage, without the words of the driver', async () => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    jest.spyOn(backend, 'read').mockRejectedValue(new Error('password "hunter2" refused'));
    expect(await run(() => 'never')).toBe(503);
    for (const span of [...spansNamed('session.load'), ...spansNamed('session.store')]) {
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'BACKEND_UNAVAILABLE' });
      expect(span.attributes).toMatchObject({ 'session.outcome': 'failed' });
      expect(span.attributes['session.id']).not.toBe('');
      expect(inspect(span.events, { depth: 10 })).not.toContain('hunter2');
    }
    expect(spansNamed('session.store')).toHaveLength(1);
    error.mockRestore();
  });
});
