import type { ServerResponse } from 'node:http';

import type { SendingGate } from './response-layer.js';
import type { SendingMethod } from './sent-response.js';

type Original = (this: ServerResponse, ...args: unknown[]) => unknown;

/** The methods of a response that lie below a gate. */
export type Originals = Readonly<Record<SendingMethod, Original>>;

const GATE = Symbol('nestjs-sessionx:gate');

/** A response with a gate on it. */
type GatedResponse = Omit<ServerResponse, SendingMethod> & Record<SendingMethod, Original> & { [GATE]: SendingGate };

/**
 * Gives a response the gate's methods as properties of its own, so that they lie over the prototype's and over what middleware has put there
 * before.
 *
 * @returns what lies below
 */
export function installGate(response: ServerResponse, gate: SendingGate): Originals {
  const gated = response as GatedResponse;
  const originals = originalsOf(gated);
  gated[GATE] = gate;
  // The functions are the same for all responses, which keeps them cheap.
  gated.writeHead = writeHead;
  gated.flushHeaders = flushHeaders;
  gated.write = write;
  gated.end = end;
  return originals;
}

/** Whether middleware has put a `writeHead` of its own above the gate of a response. */
export function isCovered(response: ServerResponse): boolean {
  return Object.hasOwn(response, 'writeHead') && (response as GatedResponse).writeHead !== writeHead;
}

/** The response's own methods, or the gate of another SessionModule that the request has come by. */
function originalsOf(response: GatedResponse): Originals {
  const below = (response as Partial<Pick<GatedResponse, typeof GATE>>)[GATE];
  if (below === undefined) {
    const { writeHead, flushHeaders, write, end } = response;
    return { writeHead, flushHeaders, write, end };
  }
  const pass =
    (method: SendingMethod): Original =>
    (...args) =>
      below.called(method, args);
  return { writeHead: pass('writeHead'), flushHeaders: pass('flushHeaders'), write: pass('write'), end: pass('end') };
}

function writeHead(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as GatedResponse)[GATE].called('writeHead', args);
}

function flushHeaders(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as GatedResponse)[GATE].called('flushHeaders', args);
}

function write(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as GatedResponse)[GATE].called('write', args);
}

function end(this: ServerResponse, ...args: readonly unknown[]): unknown {
  return (this as GatedResponse)[GATE].called('end', args);
}
