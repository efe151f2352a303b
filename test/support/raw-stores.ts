import type { Redis } from 'ioredis';
import type { Client } from 'memjs';
import { decodeRecord, encodeRecord, MemoryBackend, type SessionBackend, type SessionId } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { MemcachedServer } from './memcached-server.js';
import { RedisServer } from './redis-server.js';

const TAG_CHARS = 16;
const HOUR_S = 3600;

/** A store in which a test can put a text of its own in the place of a record. Prefix: the default. */
export interface RawStore {
  readonly name: string;
  /** Whether it keeps records as texts; if not, a text must at least begin like a record. */
  readonly keepsTexts: boolean;
  start(): Promise<void>;
  another(): SessionBackend;
  read(id: SessionId): Promise<string>;
  write(id: SessionId, text: string | Buffer): Promise<void>;
  stop(): Promise<void>;
}

class RawMemory implements RawStore {
  readonly name = 'memory';
  readonly keepsTexts = false;
  readonly #backend = new MemoryBackend();

  async start(): Promise<void> {
    // There is no server.
  }

  another(): SessionBackend {
    return this.#backend;
  }

  async read(id: SessionId): Promise<string> {
    const record = await this.#backend.read(id);
    if (record === null) throw new Error(`There is no record ${id}.`);
    return encodeRecord(record);
  }

  async write(id: SessionId, text: string | Buffer): Promise<void> {
    // Without a version an alias would stay.
    const stored = await this.#backend.read(id);
    if (stored !== null) await this.#backend.delete(id, { ifVersion: stored.version });
    const whole = text.toString();
    const payload = whole.slice(whole.indexOf('\n') + 1);
    // The head alone, as a payload of a newer schema would be refused.
    const record = decodeRecord(id, whole.slice(0, -payload.length));
    await this.#backend.create({ ...record, payload }, { timeoutMs: 1000 });
  }

  async stop(): Promise<void> {
    // There is no server.
  }
}

class RawRedis implements RawStore {
  readonly name = 'redis';
  readonly keepsTexts = true;
  #server!: RedisServer;
  #client!: Redis;

  async start(): Promise<void> {
    this.#server = await RedisServer.start();
    this.#client = this.#server.client();
  }

  another(): SessionBackend {
    return new RedisBackend(this.#server.url);
  }

  async read(id: SessionId): Promise<string> {
    const text = await this.#client.get(this.keyOf(id));
    if (text === null) throw new Error(`There is no record ${id}.`);
    return text;
  }

  async write(id: SessionId, text: string | Buffer): Promise<void> {
    await this.#client.set(this.keyOf(id), text, 'KEEPTTL');
  }

  /** Puts a value of another type in the place of a record. */
  async writeHash(id: SessionId): Promise<void> {
    await this.#client.del(this.keyOf(id));
    await this.#client.hset(this.keyOf(id), 'a', 'b');
  }

  async typeOf(id: SessionId): Promise<string> {
    return this.#client.type(this.keyOf(id));
  }

  keyOf(id: SessionId): string {
    return `session:{${id.slice(0, TAG_CHARS)}}${id.slice(TAG_CHARS)}`;
  }

  async stop(): Promise<void> {
    await this.#client.quit();
    await this.#server.stop();
  }
}

class RawMemcached implements RawStore {
  readonly name = 'memcached';
  readonly keepsTexts = true;
  #server!: MemcachedServer;
  #client!: Client;

  async start(): Promise<void> {
    this.#server = await MemcachedServer.start();
    this.#client = this.#server.client();
  }

  another(): SessionBackend {
    return new MemcachedBackend({ servers: this.#server.address });
  }

  async read(id: SessionId): Promise<string> {
    const { value } = await this.#client.get(`session:${id}`);
    if (value === null) throw new Error(`There is no record ${id}.`);
    return value.toString();
  }

  async write(id: SessionId, text: string | Buffer): Promise<void> {
    await this.#client.set(`session:${id}`, text, { expires: HOUR_S });
  }

  async stop(): Promise<void> {
    this.#client.close();
    await this.#server.stop();
  }
}

export const rawMemory = (): RawStore => new RawMemory();
export const rawRedis = () => new RawRedis();
export const rawMemcached = (): RawStore => new RawMemcached();

/** Every store, fresh ones at each call. */
export function rawStores(): RawStore[] {
  return [rawMemory(), rawRedis(), rawMemcached()];
}
