import type { ServerResponse } from 'node:http';

/** Headers as an object, the form in which frameworks give them to `writeHead`. */
export type HeadersObject = Readonly<Record<string, unknown>>;

/** The request headers that a response depends on, for its `Vary` (RFC 9110, section 12.5.5). */
export class Vary {
  /** The header's value in a response that depends on nothing else. */
  readonly value: string;
  readonly #keys: readonly string[];

  /** @param names as they are to be written, without repetitions */
  constructor(private readonly names: readonly string[]) {
    this.value = names.join(', ');
    this.#keys = names.map((name) => name.toLowerCase());
  }

  /** Adds the names to those that the application has set on `response`. */
  addTo(response: ServerResponse): void {
    const current = response.getHeader('Vary');
    if (current === undefined) response.setHeader('Vary', this.value);
    else if (current !== this.value)
      this.#merge(response, Array.isArray(current) ? current.join(', ') : String(current));
  }

  #merge(response: ServerResponse, listed: string): void {
    const keys = listed.split(',').map((entry) => entry.trim().toLowerCase());
    if (keys.includes('*')) return;
    const missing = this.names.filter((_, index) => !keys.includes(this.#keys[index] ?? ''));
    if (missing.length > 0) response.setHeader('Vary', [...(listed === '' ? [] : [listed]), ...missing].join(', '));
  }

  /**
   * Adds the names to headers that are given to `writeHead`. The given object stays as it is, because it may be a constant of the application.
   *
   * @returns null if they have a `Vary` of their own
   */
  addedTo(headers: HeadersObject): HeadersObject | null {
    for (const name in headers) {
      if (name.length === 4 && name.toLowerCase() === 'vary') return null;
    }
    // In this order: a property that is added to a spread object gives each such object a hidden class of its own.
    return { Vary: this.value, ...headers };
  }
}
