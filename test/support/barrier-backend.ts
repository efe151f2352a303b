import type { SessionBackend } from 'nestjs-sessionx';

type Method = 'create' | 'read' | 'replace' | 'touch' | 'delete' | 'deleteByUser';

/**
 * A backend before which a test can stop a call, to put another one in between: races without luck. All calls go to the real
 * backend.
 */
export class BarrierBackend {
  readonly backend: SessionBackend;
  /** How many calls of each method have been made. */
  readonly calls: Record<string, number> = {};
  readonly #failing = new Set<string>();
  readonly #gates = new Map<string, { readonly gate: Promise<void>; readonly arrived: () => void }>();

  constructor(real: SessionBackend) {
    this.backend = new Proxy(real, {
      get: (target, name: keyof SessionBackend) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== 'function') return method;
        return async (...args: unknown[]): Promise<unknown> => {
          this.calls[name] = (this.calls[name] ?? 0) + 1;
          const gate = this.#gates.get(name);
          this.#gates.delete(name);
          gate?.arrived();
          await gate?.gate;
          if (this.#failing.has(name)) throw new Error('the store is out of order');
          return Reflect.apply(method, target, args) as unknown;
        };
      },
    });
  }

  /** Makes every call of these methods fail, until `heal()`. */
  fail(...methods: Method[]): void {
    for (const method of methods) this.#failing.add(method);
  }

  heal(): void {
    this.#failing.clear();
  }

  /** Stops the next call of `method` before it reaches the store. */
  stopNext(method: Method): { readonly arrived: Promise<void>; readonly letGo: () => void } {
    let letGo!: () => void;
    let arrived!: () => void;
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    this.#gates.set(method, { gate, arrived });
    return { arrived: arrival, letGo };
  }

  get total(): number {
    return Object.entries(this.calls)
      .filter(([name]) => name !== 'open' && name !== 'close')
      .reduce((sum, [, count]) => sum + count, 0);
  }
}
