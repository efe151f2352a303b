import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { AsyncLocalStorage } from 'node:async_hooks';

import { Wait, Waits } from '../../src/backends/waits.js';
import { everyBackend, type BackendUnderTest } from '../support/backends.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { MemcachedServer } from '../support/memcached-server.js';
import { startService, type ServiceUnderTest } from '../support/services.js';
import { soon } from '../support/soon.js';

interface Context {
  readonly request: string;
}

const storage = new AsyncLocalStorage<Context>();

/** Whose connection to the server was lost before the first request. */
function memcachedAfterLoss(): BackendUnderTest {
  let server: MemcachedServer;
  let proxy: FaultProxy;
  return {
    name: 'memcached, by a connection that a request makes',
    start: async () => {
      server = await MemcachedServer.start();
      proxy = await FaultProxy.to(server.port);
    },
    another: () => {
      const backend = new MemcachedBackend({ servers: proxy.address });
      const open = backend.open.bind(backend);
      backend.open = async (context) => {
        await open(context);
        await proxy.closeConnections();
      };
      return backend;
    },
    stop: async () => {
      await proxy.stop();
      await server.stop();
    },
  };
}

describe.each([...everyBackend(), memcachedAfterLoss()])('the async context of a request, on $name', (store) => {
  let service: ServiceUnderTest;

  beforeAll(() => store.start());
  beforeEach(async () => {
    service = await startService(store.another());
  });
  afterEach(() => service.close());
  afterAll(() => store.stop());

  async function useSessionsOf(request: string): Promise<WeakRef<Context>> {
    const context = { request };
    await storage.run(context, async () => {
      const { token } = await service.sessions.createSession({ user: { userId: request } });
      const session = await service.sessions.getSession(token);
      await service.sessions.update(session, ({ data }) => {
        data.seen = true;
      });
    });
    return new WeakRef(context);
  }

  it('is not kept by what the module shares among requests, such as connections and timers', async () => {
    const first = await useSessionsOf('first');
    await useSessionsOf('second');
    await soon(() => {
      collectGarbage();
      return first.deref() === undefined || undefined;
    });
  });
});

it('a call that times out is given up outside of the context of another request', async () => {
  const waits = new Waits();
  const seen: unknown[] = [];
  class NotingWait extends Wait {
    giveUp(): void {
      seen.push(storage.getStore());
    }
  }
  for (const request of ['first', 'second']) {
    storage.run({ request }, () => {
      waits.add(new NotingWait(performance.now() + 5));
    });
  }
  await soon(() => seen.length === 2 || undefined);
  expect(seen).toEqual([undefined, undefined]);
});
