import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';

import type { SessionBackend } from './backends/session-backend.interface.js';
import type { GivenSessionOptions } from './options/session-options.js';

/** What `SessionModule.forRoot` takes: everything but `secretKey` has a default. */
export type SessionModuleOptions = Omit<GivenSessionOptions, 'backend'> & {
  /** Where sessions live. Default: a `MemoryBackend`, for one process. */
  backend?: SessionBackend;
};

/** What stands beside the options in `forRoot` and `forRootAsync`. */
export interface SessionModuleExtras {
  /** Whether guard, decorators and `SessionService` work in every module without an import. Default true. */
  isGlobal?: boolean;
  /** Providers in place of the module's own, such as for `SESSION_BACKEND`, `SESSION_CLOCK` or `TOKEN_SERIALIZER`. */
  extraProviders?: Provider[];
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<SessionModuleOptions>({
  optionsInjectionToken: Symbol.for('nestjs-sessionx:options'),
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createSessionOptions')
  .setExtras<SessionModuleExtras>(
    { isGlobal: true, extraProviders: [] },
    (definition, { isGlobal, extraProviders }) => ({
      ...definition,
      global: isGlobal ?? true,
      // The later provider of a token wins, so these stand in for the module's own.
      providers: [...(definition.providers ?? []), ...(extraProviders ?? [])],
    }),
  )
  .build();
