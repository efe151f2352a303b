import { ServerResponse } from 'node:http';

import type { SendingMethod } from './sent-response.js';

/** A method by which a response leaves. None of Node's four has more than three parameters, so calls need no list of arguments. */
export type Sending = (this: ServerResponse, first?: unknown, second?: unknown, third?: unknown) => unknown;

/** The four methods by which a response leaves, as they lie below a gate. */
export type SendingMethods = Readonly<Record<SendingMethod, Sending>>;

/** Takes the calls of one response. */
export interface SendingGate {
  called(method: SendingMethod, first?: unknown, second?: unknown, third?: unknown): unknown;
}

const GATE = Symbol('nestjs-sessionx:gate');

/** A response with a gate on it. */
type GatedResponse = Omit<ServerResponse, SendingMethod> & Record<SendingMethod, Sending> & { [GATE]: SendingGate };

/**
 * Node's own methods, taken when this module is loaded. A tool that patches the prototype afterwards, to measure or to trace, must not see
 * the calls by which a response that waits tries what Node would say.
 */
export const NODE_METHODS = methodsOf(ServerResponse.prototype as unknown as SendingMethods);

/**
 * Gives a response the gate's methods as own properties, so that they lie over those of its prototype and of middleware that came before.
 *
 * @returns the methods below
 */
export function installGate(response: ServerResponse, gate: SendingGate): SendingMethods {
  const gated = response as GatedResponse;
  const below = methodsBelow(gated);
  gated[GATE] = gate;
  // The functions are the same for all responses, so that all of them share a hidden class.
  gated.writeHead = writeHead;
  gated.flushHeaders = flushHeaders;
  gated.write = write;
  gated.end = end;
  return below;
}

/** Whether middleware has put its own `writeHead` above the gate of a response. */
export function isCovered(response: ServerResponse): boolean {
  return Object.hasOwn(response, 'writeHead') && (response as GatedResponse).writeHead !== writeHead;
}

/** The response's own methods, or the gate of another SessionModule that the request has come through. */
function methodsBelow(response: GatedResponse): SendingMethods {
  const below = (response as Partial<Pick<GatedResponse, typeof GATE>>)[GATE];
  if (below !== undefined) return methodsThrough(below);
  return isUnpatched(response) ? NODE_METHODS : methodsOf(response);
}

function methodsThrough(gate: SendingGate): SendingMethods {
  return {
    writeHead: (status, reason, headers) => gate.called('writeHead', status, reason, headers),
    flushHeaders: () => gate.called('flushHeaders'),
    write: (chunk, encoding, callback) => gate.called('write', chunk, encoding, callback),
    end: (chunk, encoding, callback) => gate.called('end', chunk, encoding, callback),
  };
}

function isUnpatched(response: SendingMethods): boolean {
  return (
    response.writeHead === NODE_METHODS.writeHead &&
    response.flushHeaders === NODE_METHODS.flushHeaders &&
    response.write === NODE_METHODS.write &&
    response.end === NODE_METHODS.end
  );
}

function methodsOf({ writeHead, flushHeaders, write, end }: SendingMethods): SendingMethods {
  return { writeHead, flushHeaders, write, end };
}

function writeHead(this: ServerResponse, status?: unknown, reason?: unknown, headers?: unknown): unknown {
  return (this as GatedResponse)[GATE].called('writeHead', status, reason, headers);
}

function flushHeaders(this: ServerResponse): unknown {
  return (this as GatedResponse)[GATE].called('flushHeaders');
}

function write(this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
  return (this as GatedResponse)[GATE].called('write', chunk, encoding, callback);
}

function end(this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
  return (this as GatedResponse)[GATE].called('end', chunk, encoding, callback);
}
