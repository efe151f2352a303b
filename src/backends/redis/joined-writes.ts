import type { Writable } from 'node:stream';

type Write = (chunk: unknown, encoding?: unknown, callback?: unknown) => boolean;

/**
 * Joins texts that are written to a stream one after the other to one. `cork()` does nearly the same; but a stream keeps an object for each write,
 * and hands each to the system by itself, which took 1 us more for each command.
 */
export class JoinedWrites {
  static readonly #known = new WeakMap<Writable, JoinedWrites>();
  readonly #stream: Writable;
  readonly #write: Write;
  #isHolding = false;
  #held = '';

  /** From now on everything that is written to `stream` passes here. */
  static to(stream: Writable): JoinedWrites {
    const known = JoinedWrites.#known.get(stream);
    if (known !== undefined) return known;
    const writes = new JoinedWrites(stream);
    JoinedWrites.#known.set(stream, writes);
    return writes;
  }

  private constructor(stream: Writable) {
    this.#stream = stream;
    this.#write = stream.write.bind(stream) as Write;
    const end = stream.end.bind(stream) as (...args: unknown[]) => Writable;
    const write: Write = (chunk, encoding, callback) => this.#written(chunk, encoding, callback);
    Object.assign(stream, {
      write,
      // What was written before the end goes out before it.
      end: (...args: unknown[]) => {
        this.release();
        return end(...args);
      },
    });
  }

  /** Texts that are written wait for `release()`. */
  hold(): void {
    this.#isHolding = true;
  }

  /** Writes what has waited. A stream that was destroyed meanwhile drops it, and tells its owner. */
  release(): void {
    this.#isHolding = false;
    this.#writeHeld();
  }

  #written(chunk: unknown, encoding: unknown, callback: unknown): boolean {
    if (this.#isHolding && typeof chunk === 'string' && encoding === undefined && callback === undefined) {
      this.#held += chunk;
      return !this.#stream.writableNeedDrain;
    }
    // In the order of the calls.
    this.#writeHeld();
    return this.#write(chunk, encoding, callback);
  }

  #writeHeld(): void {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    this.#write(text);
  }
}
