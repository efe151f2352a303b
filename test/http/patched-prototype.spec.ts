import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer, ServerResponse, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { ResponseGate } from '../../src/http/response-gate.js';
import { send } from '../support/raw-client.js';

const prototype = ServerResponse.prototype;
const METHODS = ['writeHead', 'write', 'end'] as const;

type Method = (this: ServerResponse, ...args: unknown[]) => unknown;

/** Patches Node's prototype, as tools do that trace responses. */
class Tracer {
  readonly seen: string[] = [];
  readonly #originals = new Map(METHODS.map((name) => [name, Object.getOwnPropertyDescriptor(prototype, name)]));

  patch(): void {
    for (const name of METHODS) {
      const below = (prototype as unknown as Record<string, Method>)[name]!;
      const { seen } = this;
      Object.defineProperty(prototype, name, {
        configurable: true,
        writable: true,
        value(this: ServerResponse, ...args: unknown[]) {
          seen.push(name);
          return Reflect.apply(below, this, args);
        },
      });
    }
  }

  restore(): void {
    for (const [name, original] of this.#originals) {
      if (original === undefined) Reflect.deleteProperty(prototype, name);
      else Object.defineProperty(prototype, name, original);
    }
  }
}

describe("a tool that patches the prototype of Node's responses after we were loaded", () => {
  let server: Server;
  const tracer = new Tracer();

  afterEach(async () => {
    tracer.restore();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([true, false])('sees each call of a response once; it waits: %s', async (waits) => {
    server = createServer((_request, response) => {
      new ResponseGate(response, {
        needsCommit: () => waits,
        commit: () => Promise.resolve(),
        varyAlone: () => null,
        writeHeaders: () => undefined,
        replacement: () => null,
        streamEnds: () => undefined,
        ignored: () => undefined,
        broken: () => undefined,
      });
      response.writeHead(200);
      response.write('bo');
      response.end('dy');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    tracer.patch();
    tracer.seen.length = 0;
    const { body } = await send(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(body).toBe('body');
    expect(tracer.seen).toEqual(['writeHead', 'write', 'end']);
  });
});
