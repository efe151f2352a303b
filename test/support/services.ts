import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { SESSION_CLOCK, SessionEvents, SessionModule, SessionService, type SessionEvent } from 'nestjs-sessionx';
import type { SessionBackend, SessionModuleOptions } from 'nestjs-sessionx';
import { FakeClock } from 'nestjs-sessionx/testing';

import { SECRET_KEY } from './apps.js';
import type { BackendUnderTest } from './backends.js';
import { BarrierBackend } from './barrier-backend.js';

export interface ServiceUnderTest {
  readonly context: INestApplicationContext;
  readonly sessions: SessionService;
  readonly clock: FakeClock;
  /** All events so far. */
  readonly events: SessionEvent[];
  close(): Promise<void>;
}

/** A `SessionService` without a web server, on `backend`. */
export async function startService(
  backend: SessionBackend,
  options: Partial<SessionModuleOptions> = {},
  clock = new FakeClock(),
): Promise<ServiceUnderTest> {
  const context = await Test.createTestingModule({
    imports: [
      SessionModule.forRoot({
        secretKey: SECRET_KEY,
        backend,
        ...options,
        extraProviders: [{ provide: SESSION_CLOCK, useValue: clock }],
      }),
    ],
  }).compile();
  context.useLogger(false);
  await context.init();
  const events: SessionEvent[] = [];
  context.get(SessionEvents).all.subscribe((event) => events.push(event));
  return { context, sessions: context.get(SessionService), clock, events, close: () => context.close() };
}

/** Two processes, as it were, on one store and by one clock; the store calls of the first can be stopped. */
export interface TwoInstances {
  readonly barrier: BarrierBackend;
  readonly one: ServiceUnderTest;
  readonly two: ServiceUnderTest;
  stop(): Promise<void>;
}

/** Starts the store too. */
export async function startTwo(
  store: BackendUnderTest,
  options: Partial<SessionModuleOptions> = {},
): Promise<TwoInstances> {
  await store.start();
  const barrier = new BarrierBackend(store.another());
  const one = await startService(barrier.backend, options);
  const two = await startService(store.another(), options, one.clock);
  return {
    barrier,
    one,
    two,
    stop: async () => {
      await one.close();
      await two.close();
      await store.stop();
    },
  };
}

/** `count` calls at once. */
export function atOnce<T>(count: number, call: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index)));
}

/** How each of some promises ended. */
export async function outcomes<T>(promises: readonly Promise<T>[]): Promise<{ values: T[]; errors: unknown[] }> {
  const settled = await Promise.allSettled(promises);
  return {
    values: settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    errors: settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : [])),
  };
}
