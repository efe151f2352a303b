import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';

import type { Delivery, GateOwner } from '../../src/http/gate-owner.interface.js';
import { ResponseGate } from '../../src/http/response-gate.js';

interface Signal {
  readonly given: Promise<void>;
  readonly give: () => void;
}

function signal(): Signal {
  let give!: () => void;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
}

/** An owner that has something to commit, until `committed` settles; null: nothing. */
function ownerWith(committed: Promise<void> | null): GateOwner {
  return {
    needsCommit: () => committed !== null,
    commit: () => committed ?? Promise.resolve(),
    varyAlone: () => null,
    writeHeaders: (response) => response.setHeader('X-Ours', 'ours'),
    replacement: () => ({ status: 503, body: {} }),
    streamEnds: () => undefined,
    ignored: () => undefined,
    broken: () => undefined,
  };
}

describe('whether a response has reached the client', () => {
  let server: Server;

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Serves one handler, which is given the gate on its response; resolves to what the gate tells. */
  async function serve(
    committed: Promise<void> | null,
    handler: (response: ServerResponse, gate: ResponseGate) => void,
  ): Promise<{ readonly port: number; readonly delivered: Promise<Delivery>; readonly all: readonly Delivery[] }> {
    const all: Delivery[] = [];
    let tell!: (delivery: Delivery) => void;
    const delivered = new Promise<Delivery>((resolve) => {
      tell = resolve;
    });
    server = createServer((_request, response) => {
      const gate = new ResponseGate(response, ownerWith(committed));
      gate.whenDelivered((delivery) => {
        all.push(delivery);
        tell(delivery);
      });
      handler(response, gate);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { port: (server.address() as AddressInfo).port, delivered, all };
  }

  async function get(port: number): Promise<number> {
    const outgoing = request({ port, host: '127.0.0.1', agent: false }).end();
    const [response] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
    response.resume();
    await once(response, 'close');
    return response.statusCode ?? 0;
  }

  it.each([200, 304, 500])('is reported with the status %i, where nothing waits', async (status) => {
    const { port, delivered, all } = await serve(null, (response) => response.writeHead(status).end());
    expect(await get(port)).toBe(status);
    expect(await delivered).toEqual({ got: 'response', status });
    expect(all).toHaveLength(1);
  });

  it('is reported after the wait, with the status that has gone out', async () => {
    const work = signal();
    const { port, delivered, all } = await serve(work.given, (response) => {
      response.end('body');
      response.statusCode = 500;
      expect(all).toEqual([]);
      work.give();
    });
    expect(await get(port)).toBe(200);
    expect(await delivered).toEqual({ got: 'response', status: 200 });
    expect(all).toHaveLength(1);
  });

  it('is reported where another response has taken its place', async () => {
    const { port, delivered, all } = await serve(Promise.reject(new Error('the store fails')), (response) => {
      response.end('body');
    });
    expect(await get(port)).toBe(503);
    expect(await delivered).toEqual({ got: 'replacement' });
    expect(all).toHaveLength(1);
  });

  it.each(['before the handler responds', 'while the response waits'])(
    'is reported where the client goes away %s',
    async (when) => {
      const [arrived, work] = [signal(), signal()];
      const { port, delivered, all } = await serve(work.given, (response) => {
        if (when === 'while the response waits') response.end('body');
        arrived.give();
      });
      const client = connect(port, '127.0.0.1');
      client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await arrived.given;
      client.destroy();
      expect(await delivered).toEqual({ got: 'nothing' });
      work.give();
      await work.given;
      expect(all).toHaveLength(1);
    },
  );

  it('is reported as nothing if a head was made and never sent', async () => {
    const { port, delivered } = await serve(null, (response) => {
      response.writeHead(200);
      response.destroy();
    });
    await expect(get(port)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await delivered).toEqual({ got: 'nothing' });
  });

  it('is reported as nothing if the handler has destroyed the response before its end', async () => {
    const { port, delivered } = await serve(null, (response) => {
      response.writeHead(200).destroy();
      response.end('late');
    });
    await expect(get(port)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await delivered).toEqual({ got: 'nothing' });
  });

  it('is reported at once to a listener that is added after the client has gone', async () => {
    const [arrived, closed] = [signal(), signal()];
    let delivered: Delivery | null = null;
    const { port } = await serve(null, (response, gate) => {
      response.once('close', () => {
        gate.whenDelivered((delivery) => {
          delivered = delivery;
        });
        closed.give();
      });
      arrived.give();
    });
    const client = connect(port, '127.0.0.1');
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await arrived.given;
    client.destroy();
    await closed.given;
    expect(delivered).toEqual({ got: 'nothing' });
  });

  it('is reported at once to a listener that is added after the first byte', async () => {
    let delivered: Delivery | null = null;
    const { port } = await serve(null, (response, gate) => {
      response.write('bo');
      gate.whenDelivered((delivery) => {
        delivered = delivery;
      });
      response.end('dy');
    });
    expect(await get(port)).toBe(200);
    expect(delivered).toEqual({ got: 'response', status: 200 });
  });
});
