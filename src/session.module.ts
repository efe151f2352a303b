import { Inject, Logger, Module, type OnModuleInit, type Provider } from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer, type AbstractHttpAdapter } from '@nestjs/core';
import type { Server } from 'node:http';

import { MemoryBackend } from './backends/memory/memory.backend.js';
import { SESSION_BACKEND, type SessionBackend } from './backends/session-backend.interface.js';
import { SessionBinding } from './sessions/session-binding.js';
import { SESSION_CLOCK, systemClock, type Clock } from './clock.js';
import { ContextReaders } from './contexts/context-readers.js';
import { CsrfProtection } from './csrf/csrf-protection.js';
import { CsrfTokens } from './csrf/csrf-tokens.js';
import { assertRequirementsKept } from './decorators/kept-requirements.js';
import { MessageHandlers } from './decorators/message-handlers.js';
import { RoutePipes } from './decorators/route-pipes.js';
import { SessionEvents } from './events/session-events.js';
import { SessionRejections } from './events/session-rejections.js';
import { keepTickObjects } from './http/tick-objects.js';
import { secretKeysOf } from './options/secret-keys.js';
import { SessionJwtOptions } from './options/session-jwt-options.js';
import { SessionOptions } from './options/session-options.js';
import { assertClock, assertProvided, SERIALIZER_METHODS } from './options/assert-provided.js';
import { validateOptions } from './options/validate-options.js';
import { ConnectionEndings } from './requests/connection-endings.js';
import { ConnectionUpgrades } from './requests/connection-upgrades.js';
import { OneTimeValues } from './requests/one-time-values.js';
import { PassiveRequests } from './requests/passive-requests.js';
import { RequestRenewal } from './requests/request-renewal.js';
import { RequestLog } from './requests/request-log.js';
import { RequestSessions } from './requests/request-sessions.js';
import { RequestServices } from './requests/request-services.js';
import { SessionExchanges } from './requests/session-exchanges.js';
import { SessionResponseWriter } from './requests/session-response-writer.js';
import { TokenFinder } from './requests/token-finder.js';
import { assertNoConflict } from './session.module-conflict.js';
import { MODULE_OPTIONS_TOKEN, SessionModuleClass, type SessionModuleOptions } from './session.module-definition.js';
import { SessionErrorFilter } from './session-error.filter.js';
import { SessionService } from './session.service.js';
import { CrossSlotLogin } from './sessions/cross-slot-login.js';
import { SessionFactory } from './sessions/session-factory.js';
import { SessionEndings } from './sessions/session-endings.js';
import { SessionIssuer } from './sessions/session-issuer.js';
import { SessionLifetimes } from './sessions/session-lifetimes.js';
import { SessionLoader } from './sessions/session-loader.js';
import { SessionLogin } from './sessions/session-login.js';
import { SessionRenewal } from './sessions/session-renewal.js';
import { SessionReuse } from './sessions/session-reuse.js';
import { SessionRotation } from './sessions/session-rotation.js';
import { SessionSignals } from './sessions/session-signals.js';
import { SessionSuccessors } from './sessions/session-successors.js';
import { SessionWatches } from './sessions/session-watches.js';
import { SessionWriter } from './sessions/session-writer.js';
import { UserUpdates } from './sessions/user-updates.js';
import { SessionStore } from './store/session-store.js';
import { BoundedSerializer } from './tokens/bounded-serializer.js';
import { JwtTokenSerializer } from './tokens/jwt-token.serializer.js';
import { SimpleTokenSerializer } from './tokens/simple-token.serializer.js';
import { TOKEN_SERIALIZER, type TokenSerializer } from './tokens/token-serializer.interface.js';
import { TokenVerifier } from './tokens/token-verifier.js';
import { TokenTransports } from './transports/token-transports.js';

// As early as can be: while the application loads.
keepTickObjects();

/** These three may be replaced through `extraProviders`. */
const replaceable: Provider[] = [
  { provide: SESSION_CLOCK, useValue: systemClock },
  {
    provide: SESSION_BACKEND,
    useFactory: ({ backend }: SessionModuleOptions): SessionBackend => backend ?? new MemoryBackend(),
    // The options are validated first: a backend that is none stops the application with the list of all faults.
    inject: [MODULE_OPTIONS_TOKEN, SessionOptions],
  },
  {
    provide: TOKEN_SERIALIZER,
    useFactory: (options: SessionOptions, clock: Clock): TokenSerializer | Promise<TokenSerializer> => {
      const { tokenFormat, backendKeyPrefix: namespace, jwt = new SessionJwtOptions() } = options;
      const keys = secretKeysOf(options);
      if (tokenFormat === 'simple') return new SimpleTokenSerializer({ keys, namespace });
      if (tokenFormat !== 'jwt') return tokenFormat;
      const { issuer, audience, leeway } = jwt;
      return JwtTokenSerializer.create({ keys, namespace, issuer, audience, leeway }, clock);
    },
    inject: [SessionOptions, SESSION_CLOCK],
  },
];

/**
 * Server-side sessions.
 *
 * @example SessionModule.forRoot({ secretKey: process.env.SESSION_SECRET!, sessionTtl: 3600 })
 */
@Module({
  providers: [
    {
      provide: SessionOptions,
      useFactory: (options: SessionModuleOptions): SessionOptions => validateOptions(options),
      inject: [MODULE_OPTIONS_TOKEN],
    },
    ...replaceable,
    {
      provide: BoundedSerializer,
      useFactory: (serializer: TokenSerializer, clock: Clock, { backendTimeout }: SessionOptions) => {
        assertClock(clock);
        assertProvided('TOKEN_SERIALIZER', serializer, SERIALIZER_METHODS);
        return new BoundedSerializer(serializer, clock, backendTimeout);
      },
      inject: [TOKEN_SERIALIZER, SESSION_CLOCK, SessionOptions],
    },
    ConnectionEndings,
    ConnectionUpgrades,
    ContextReaders,
    CrossSlotLogin,
    CsrfProtection,
    CsrfTokens,
    MessageHandlers,
    OneTimeValues,
    PassiveRequests,
    RequestLog,
    RequestRenewal,
    RequestServices,
    SessionBinding,
    SessionFactory,
    SessionEndings,
    SessionErrorFilter,
    SessionEvents,
    SessionExchanges,
    SessionIssuer,
    SessionLifetimes,
    SessionLoader,
    SessionLogin,
    SessionRejections,
    SessionRenewal,
    SessionResponseWriter,
    SessionReuse,
    SessionRotation,
    SessionSignals,
    SessionStore,
    SessionSuccessors,
    SessionWatches,
    SessionWriter,
    UserUpdates,
    TokenFinder,
    TokenTransports,
    TokenVerifier,
    RequestSessions,
    RoutePipes,
    SessionService,
  ],
  exports: [
    SessionService,
    SessionEvents,
    RequestSessions,
    ConnectionEndings,
    RoutePipes,
    SESSION_BACKEND,
    SESSION_CLOCK,
  ],
})
export class SessionModule extends SessionModuleClass implements OnModuleInit {
  readonly #modules: ModulesContainer;
  readonly #upgrades: ConnectionUpgrades;
  readonly #host: HttpAdapterHost;

  /**
   * @internal Nest makes it.
   *
   * @throws TypeError when the application has another one with the same tokens and another memory
   */
  constructor(
    modules: ModulesContainer,
    options: SessionOptions,
    @Inject(SESSION_BACKEND) backend: SessionBackend,
    @Inject(SESSION_CLOCK) clock: Clock,
    @Inject(TOKEN_SERIALIZER) serializer: TokenSerializer,
    upgrades: ConnectionUpgrades,
    host: HttpAdapterHost,
  ) {
    super();
    assertNoConflict(modules, { options, backend, clock, serializer });
    this.#modules = modules;
    this.#upgrades = upgrades;
    this.#host = host;
    warnOfUnusedOptions(options);
  }

  /** @throws TypeError when a handler has lost what its decorators require */
  onModuleInit(): void {
    assertRequirementsKept(this.#modules);
    // An application without HTTP has neither.
    const adapter = this.#host.httpAdapter as AbstractHttpAdapter | undefined;
    const server = adapter?.getHttpServer() as Server | undefined;
    if (server !== undefined) this.#upgrades.check(server);
  }
}

/** The option `cookie` stops the start there; `csrf` has a use once the cookie is added. */
function warnOfUnusedOptions({ csrf, tokenSourcePriority }: SessionOptions): void {
  if (csrf === undefined || tokenSourcePriority.includes('cookie')) return;
  new Logger('SessionModule').warn(
    "The option csrf has no effect, because 'cookie' is not in tokenSourcePriority. Add it there, or remove csrf.",
  );
}
