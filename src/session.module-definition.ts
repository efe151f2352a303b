import {
  ConfigurableModuleBuilder,
  type ConfigurableModuleAsyncOptions,
  type DynamicModule,
  type Provider,
} from '@nestjs/common';

import type { SessionBackend } from './backends/session-backend.interface.js';
import { notBoolean } from './options/is-true-or-false.js';
import type { GivenSessionOptions } from './options/session-options.js';
import { assertIsObject, assertNoFaults } from './options/validate-options.js';

/** What `SessionModule.forRoot` takes: everything but `secretKey` has a default. */
export type SessionModuleOptions = Omit<GivenSessionOptions, 'backend'> & {
  /** Where sessions live. Default: a `MemoryBackend`, for one process. */
  backend?: SessionBackend | undefined;
};

/** What stands beside the options in `forRoot` and `forRootAsync`. */
export interface SessionModuleExtras {
  /** Whether guard, decorators and `SessionService` work in every module without an import. Default true. */
  isGlobal?: boolean | undefined;
  /** Providers in place of the module's own, such as for `SESSION_BACKEND`, `SESSION_CLOCK` or `TOKEN_SERIALIZER`. */
  extraProviders?: Provider[] | undefined;
}

/** A class that makes the options, such as of settings that it injects: for `useClass` and `useExisting` of `forRootAsync`. */
export interface SessionOptionsFactory {
  /** @returns the options, or a promise of them */
  createSessionOptions(): SessionModuleOptions | Promise<SessionModuleOptions>;
}

const FACTORY_METHOD = 'createSessionOptions';
const WAYS_TO_OPTIONS = ['useFactory', 'useClass', 'useExisting'] as const;

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<SessionModuleOptions>({
  optionsInjectionToken: Symbol.for('nestjs-sessionx:options'),
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName(FACTORY_METHOD)
  .setExtras<SessionModuleExtras>({ isGlobal: true, extraProviders: [] }, (definition, extras) => {
    const { isGlobal = true, extraProviders = [] } = extras;
    assertNoFaults(faultsOfExtras(isGlobal, extraProviders));
    return {
      ...definition,
      global: isGlobal,
      // The later provider of a token wins, so these stand in for the module's own.
      providers: [...(definition.providers ?? []), ...extraProviders],
    };
  })
  .build();

export { MODULE_OPTIONS_TOKEN };

/** `forRoot()` and `forRootAsync()` as Nest builds them, with messages for what would fail inside of Nest. */
export class SessionModuleClass extends ConfigurableModuleClass {
  /** @throws TypeError when the options are no object, or what stands beside them is wrong */
  static override forRoot(options: SessionModuleOptions & Partial<SessionModuleExtras>): DynamicModule {
    assertIsObject(options);
    return super.forRoot(options);
  }

  /** @throws TypeError when the options come from none or from two, or what stands beside them is wrong */
  static override forRootAsync(
    options: ConfigurableModuleAsyncOptions<SessionModuleOptions, typeof FACTORY_METHOD> & Partial<SessionModuleExtras>,
  ): DynamicModule {
    assertOneWay(options);
    const definition = super.forRootAsync(options);
    const factory = options.useExisting ?? options.useClass;
    if (options.useFactory !== undefined || factory === undefined) return definition;
    const provider: Provider = {
      provide: MODULE_OPTIONS_TOKEN,
      useFactory: (instance: Partial<SessionOptionsFactory>) => {
        if (typeof instance[FACTORY_METHOD] === 'function') return instance[FACTORY_METHOD]();
        throw new TypeError(`SessionModule cannot start: ${factory.name} has no method ${FACTORY_METHOD}().`);
      },
      inject: [factory],
    };
    return { ...definition, providers: [...(definition.providers ?? []), provider] };
  }
}

function assertOneWay(given: unknown): void {
  const ways = WAYS_TO_OPTIONS.filter((way) => (Object(given) as Readonly<Record<string, unknown>>)[way] !== undefined);
  if (ways.length === 1) return;
  const found = ways.length === 0 ? 'none of them' : ways.join(' and ');
  throw new TypeError(
    `SessionModule cannot start: forRootAsync() takes useFactory, useClass or useExisting, and was given ${found}.`,
  );
}

function faultsOfExtras(isGlobal: unknown, extraProviders: unknown): string[] {
  const faults: string[] = [];
  if (typeof isGlobal !== 'boolean') faults.push(notBoolean('isGlobal', isGlobal));
  if (!Array.isArray(extraProviders)) faults.push('extraProviders must be a list of providers');
  return faults;
}
