import { executionAsyncResource } from 'node:async_hooks';

let kept: object | undefined;

/**
 * Keeps one of the objects that `process.nextTick()` queues, and with it their hidden class.
 *
 * Node makes them with computed keys. V8 does that fast only as long as it meets one hidden class, and it forgets a class when a full garbage
 * collection finds no object of it, as happens while any application of some size starts. From then on each call of `nextTick()` in the process
 * takes 0.3 us more, and a request has eight of them: more than all that a session adds to a request which does not use it. (Seen with Node 20;
 * `npm run bench -- http`, `bare-of-size`.)
 */
export function keepTickObjects(): void {
  if (kept !== undefined) return;
  process.nextTick(() => {
    kept = executionAsyncResource();
  });
}
