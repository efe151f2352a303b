import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { BackendContext, SessionRecord } from 'nestjs-sessionx';
import { MemcachedBackend, type MemcachedBackendOptions } from 'nestjs-sessionx/memcached';
import { FakeClock } from 'nestjs-sessionx/testing';

import { RandomPool } from '../../src/tokens/random-pool.js';
import { anonymousTag, newSecret, sessionIdOf, tagOf, userTag, type UserTag } from '../../src/tokens/session-secret.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { MemcachedServer } from '../support/memcached-server.js';

const TIMEOUT_MS = 2000;

/** A Memcached that the whole file uses, and for each test a proxy in front of it and two backends: one by the proxy, one beside it. */
export class ProxiedMemcached {
  server!: MemcachedServer;
  proxy!: FaultProxy;
  arena!: MemcachedArena;
  /** By the proxy. */
  backend!: MemcachedBackend;
  /** Beside the proxy, so that no fault reaches it. */
  sound!: MemcachedBackend;

  /** @param timeoutMs of the backend by the proxy */
  static forEachTest(timeoutMs: number): ProxiedMemcached {
    const own = new ProxiedMemcached();
    beforeAll(async () => {
      own.server = await MemcachedServer.start();
    });
    beforeEach(async () => {
      own.arena = new MemcachedArena();
      own.proxy = await FaultProxy.to(own.server.port);
      own.backend = await own.arena.open({ servers: own.proxy.address }, timeoutMs);
      own.sound = await own.arena.open({ servers: own.server.address });
    });
    afterEach(async () => {
      own.proxy.heal();
      await own.arena.close();
      await own.proxy.stop();
    });
    afterAll(() => own.server.stop());
    return own;
  }
}

/** Backends that are opened and closed together, what they logged, and records to put into them. */
export class MemcachedArena {
  readonly clock = new FakeClock();
  readonly keyPrefix: string;
  readonly log: string[] = [];
  readonly #random = new RandomPool();
  readonly #backends: MemcachedBackend[] = [];
  readonly user = this.newUser();

  constructor(keyPrefix = 'test:') {
    this.keyPrefix = keyPrefix;
  }

  async open(options: MemcachedBackendOptions, timeoutMs = TIMEOUT_MS): Promise<MemcachedBackend> {
    const backend = new MemcachedBackend(options);
    await backend.open(this.context(timeoutMs));
    this.#backends.push(backend);
    return backend;
  }

  context(timeoutMs = TIMEOUT_MS): BackendContext {
    const note = (message: unknown) => void this.log.push(String(message));
    return {
      keyPrefix: this.keyPrefix,
      timeoutMs,
      clock: this.clock,
      logger: { log: note, warn: note, error: note },
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#backends.map((backend) => backend.close()));
  }

  newUser(): UserTag {
    return userTag('the key of this test', this.#random.base64url(12));
  }

  /** @param of whose record; null: an anonymous one */
  record(of: UserTag | null = this.user, payload = 'the right value', lifetimeMs = 3_600_000): SessionRecord {
    const now = this.clock.now();
    return {
      id: sessionIdOf(newSecret(of ?? anonymousTag(this.#random), this.#random)),
      version: 1,
      status: 'active',
      userTag: of,
      lastAccessed: now,
      expiresAt: now + lifetimeMs,
      payload,
    };
  }

  /** A record under the tag of `record`, as a regeneration makes it. */
  sibling(record: SessionRecord): SessionRecord {
    return { ...record, id: sessionIdOf(newSecret(tagOf(record.id), this.#random)) };
  }

  listKey(user: UserTag = this.user): string {
    return this.keyPrefix + user;
  }
}
