import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;

/**
 * Random bytes from the operating system's generator, drawn in blocks: `randomBytes` costs microseconds a call, a slice of a
 * block a tenth of one. Bytes are wiped as they leave, so that a later dump of the memory does not hold past secrets.
 */
export class RandomPool {
  readonly #pool = Buffer.alloc(POOL_BYTES);
  #next = POOL_BYTES;

  /** `bytes` fresh random bytes as unpadded base64url. */
  base64url(bytes: number): string {
    if (this.#next + bytes > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    const text = this.#pool.toString('base64url', this.#next, this.#next + bytes);
    this.#pool.fill(0, this.#next, this.#next + bytes);
    this.#next += bytes;
    return text;
  }
}
