import type { Response } from 'memjs';

import { OPCODES, STATUS, storageExtras, touchExtras, type BinaryRequest } from './binary-request.js';
import { itemExpiry } from './item-expiry.js';
import type { MemcachedConnection } from './memcached-connection.js';
import { MemcachedError } from './memcached-error.js';

/** What Memcached adds to key and value of an item; measured, with something to spare. */
const ITEM_OVERHEAD_BYTES = 128;

/** An item as it was read. It keeps all bytes alive that came with it, so it must not be kept itself. */
export class Item {
  constructor(private readonly response: Response) {}

  get text(): string {
    return this.response.val.toString();
  }

  /** The same, for those who need no text of all of it. */
  get bytes(): Buffer {
    return this.response.val;
  }

  /** Names this very state of the item. */
  get cas(): Buffer {
    return this.response.header.cas;
  }
}

/** The items of one server, and the few things that can be done to them. Lifetimes are milliseconds. */
export class Items {
  constructor(
    private readonly connection: Pick<MemcachedConnection, 'call' | 'callTogether'>,
    private readonly maxItemSize: number,
  ) {}

  async get(key: string): Promise<Item | null> {
    return itemIn(await this.connection.call({ opcode: OPCODES.getWithKey, key }));
  }

  /** Two items, read in this order by one call. Without `await`, because every request comes by here. */
  getBoth(first: string, second: string): Promise<readonly [Item | null, Item | null]> {
    const { getWithKey: opcode } = OPCODES;
    return this.connection
      .callTogether([
        { opcode, key: first },
        { opcode, key: second },
      ])
      .then((responses) => [itemIn(responses[0]), itemIn(responses[1])]);
  }

  /** Stores a new item; false: there is one already. */
  async add(key: string, text: string, lifetimeMs: number): Promise<boolean> {
    return (await this.#store({ opcode: OPCODES.add, key, value: text }, lifetimeMs)) === 'stored';
  }

  /** Puts `text` in the place of the state that was read with `cas`. */
  replace(key: string, text: string, lifetimeMs: number, cas: Buffer): Promise<'stored' | 'changed' | 'missing'> {
    return this.#store({ opcode: OPCODES.replace, key, value: text, cas }, lifetimeMs);
  }

  /** With `cas`: only the state that was read with it. */
  async delete(key: string, cas?: Buffer): Promise<'deleted' | 'changed' | 'missing'> {
    const response = await this.connection.call({ opcode: OPCODES.delete, key, ...(cas ? { cas } : {}) });
    switch (response.header.status) {
      case STATUS.ok:
        return 'deleted';
      case STATUS.exists:
        return 'changed';
      case STATUS.notFound:
        return 'missing';
      default:
        throw refusedError(response);
    }
  }

  /** Keeps an item as it is for so long from now; false: there is none, and none was made. */
  async keep(key: string, lifetimeMs: number): Promise<boolean> {
    const extras = touchExtras(itemExpiry(lifetimeMs));
    const response = await this.connection.call({ opcode: OPCODES.touch, key, extras });
    switch (response.header.status) {
      case STATUS.ok:
        return true;
      case STATUS.notFound:
        return false;
      default:
        throw refusedError(response);
    }
  }

  async ping(): Promise<void> {
    const response = await this.connection.call({ opcode: OPCODES.noop, key: '' });
    if (response.header.status !== STATUS.ok) throw refusedError(response);
  }

  /** @throws MemcachedError `TOO_LARGE` when the server would not take it */
  assertFits(key: string, text: string): void {
    if (key.length + Buffer.byteLength(text) + ITEM_OVERHEAD_BYTES > this.maxItemSize) throw tooLargeError();
  }

  async #store(request: BinaryRequest & { value: string }, lifetimeMs: number) {
    this.assertFits(request.key, request.value);
    const response = await this.connection.call({
      ...request,
      extras: storageExtras(request.value, itemExpiry(lifetimeMs)),
    });
    switch (response.header.status) {
      case STATUS.ok:
        return 'stored';
      case STATUS.exists:
        return 'changed';
      case STATUS.notFound:
        return 'missing';
      case STATUS.tooLarge:
        throw tooLargeError();
      default:
        throw refusedError(response);
    }
  }
}

function itemIn(response: Response): Item | null {
  switch (response.header.status) {
    case STATUS.ok:
      return new Item(response);
    case STATUS.notFound:
      return null;
    default:
      throw refusedError(response);
  }
}

function tooLargeError(): MemcachedError {
  return new MemcachedError('TOO_LARGE', 'The item is larger than what the server takes (maxItemSize).');
}

function refusedError({ header }: Response): MemcachedError {
  return new MemcachedError('REFUSED', `Memcached refused the request with status ${header.status}.`);
}
