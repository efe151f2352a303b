import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { GateOwner } from '../../src/http/gate-owner.interface.js';
import { ResponseGate } from '../../src/http/response-gate.js';
import { Vary } from '../../src/http/vary.js';
import { send } from '../support/raw-client.js';

const OURS = new Vary(['X-Session-Token', 'Cookie']);

function ownerWith(varyAlone: Vary | null): GateOwner {
  return {
    needsCommit: () => false,
    commit: () => Promise.resolve(),
    varyAlone: () => varyAlone,
    writeHeaders: (response) => {
      OURS.addTo(response);
    },
    replacement: () => null,
    streamEnds: () => undefined,
    ignored: () => undefined,
    broken: () => undefined,
  };
}

/** What a handler does with its response. */
type Handler = (response: ServerResponse) => void;

describe('the Vary of a response with nothing to commit', () => {
  let server: Server;
  let url: string;
  let handler: Handler;
  let owner: GateOwner;

  beforeAll(async () => {
    server = createServer((_request, response) => {
      new ResponseGate(response, owner);
      handler(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  async function headersOf(given: Handler, varyAlone: Vary | null = OURS) {
    handler = given;
    owner = ownerWith(varyAlone);
    return { ...(await send(url)).headers, date: 'now' };
  }

  it.each<[string, string, Handler]>([
    ['is ours, where the application has none', 'X-Session-Token, Cookie', (response) => response.end('x')],
    [
      'is ours, beside headers given to writeHead',
      'X-Session-Token, Cookie',
      (response) => response.writeHead(200, { 'X-Own': 'own' }).end(),
    ],
    [
      "is added to the application's",
      'Accept, X-Session-Token, Cookie',
      (response) => response.setHeader('vary', 'Accept').end(),
    ],
    [
      "is added to the application's lines",
      'Accept, Origin, X-Session-Token, Cookie',
      (response) => response.setHeader('Vary', ['Accept', 'Origin']).end(),
    ],
    [
      'is added to one that was given to writeHead',
      'Accept, X-Session-Token, Cookie',
      (response) => response.writeHead(200, { VARY: 'Accept' }).end(),
    ],
    [
      'is added to one that was set, where other headers were given to writeHead',
      'Accept, X-Session-Token, Cookie',
      (response) => response.setHeader('Vary', 'Accept').writeHead(200, { 'X-Own': 'own' }).end(),
    ],
    [
      'is added to one in a list for writeHead',
      'Accept, X-Session-Token, Cookie',
      (response) => response.writeHead(200, ['Vary', 'Accept']).end(),
    ],
    [
      'is given beside a reason',
      'X-Session-Token, Cookie',
      (response) => response.writeHead(200, 'Fine', { 'X-Own': 'own' }).end(),
    ],
    [
      'names what is missing only, however it is spelled',
      'x-session-token, Cookie',
      (response) => response.setHeader('Vary', 'x-session-token').end(),
    ],
    ['stays as it is, where it lists all', '*', (response) => response.setHeader('Vary', '*').end()],
    [
      'stays as it is, where it is ours already',
      'X-Session-Token, Cookie',
      (response) => response.setHeader('Vary', OURS.value).end(),
    ],
    ['takes the place of an empty one', 'X-Session-Token, Cookie', (response) => response.setHeader('Vary', '').end()],
  ])('%s', async (_name, expected, given) => {
    expect((await headersOf(given)).vary).toBe(expected);
  });

  it('leaves an object that was given to writeHead as it is', async () => {
    const constant = Object.freeze({ 'X-Own': 'own' });
    const headers = await headersOf((response) => response.writeHead(200, constant).end());
    expect(headers).toMatchObject({ 'x-own': 'own', vary: OURS.value });
    expect(constant).toEqual({ 'X-Own': 'own' });
  });

  it('is in the error response, where Node refuses the headers that were given first', async () => {
    const headers = await headersOf((response) => {
      expect(() => response.writeHead(200, { 'X-Bad': 'line\nbreak' })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_CHAR' }),
      );
      response.writeHead(500, { 'X-Own': 'own' }).end();
    });
    expect(headers).toMatchObject({ 'x-own': 'own', vary: OURS.value });
  });

  it('a second head is refused by Node', async () => {
    await headersOf((response) => {
      response.writeHead(200, { 'X-Own': 'own' });
      expect(() => response.writeHead(200)).toThrow(expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }));
      response.end();
    });
  });

  it('is the same by the short way and by that of a response which needs more headers', async () => {
    const name = fc.constantFrom('Vary', 'vary', 'X-A', 'x-a', 'X-B', 'Content-Type');
    const text = fc.constantFrom('Accept', '*', 'cookie', 'x', 'text/plain');
    const value = fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 2 }), fc.nat({ max: 9 }));
    // Of one name in two spellings, Node sends both lines, or the last one where the response has other headers.
    const object = fc
      .uniqueArray(fc.tuple(name, value), { maxLength: 4, selector: ([spelled]) => spelled.toLowerCase() })
      .map((entries) => Object.fromEntries(entries));
    await fc.assert(
      fc.asyncProperty(object, fc.option(object, { nil: undefined }), fc.boolean(), async (set, given, ends) => {
        const use: Handler = (response) => {
          for (const [key, own] of Object.entries(set)) response.setHeader(key, own);
          if (given !== undefined || !ends) response.writeHead(200, given as never);
          response.end('x');
        };
        const short = await headersOf(use);
        expect(short).toEqual(await headersOf(use, null));
      }),
      { numRuns: 300 },
    );
  });
});
