import { AsyncResource } from 'node:async_hooks';

/**
 * Runs code outside of any request: made while this file is loaded. What runs later than the request that has started it, such as a timer, would keep the
 * `AsyncLocalStorage` of that request for as long; and who ends a session must not lend its context to those who watch it.
 */
export const noRequest = new AsyncResource('SessionModule');
