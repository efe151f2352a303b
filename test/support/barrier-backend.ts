import type { SessionBackend } from 'nestjs-sessionx';

type Method = 'create' | 'read' | 'replace' | 'touch' | 'delete' | 'listByUser' | 'deleteByUser';

/** A call that was stopped before the store. */
export interface StoppedCall {
  readonly arrived: Promise<void>;
  readonly letGo: () => void;
  /** The store has responded to it. */
  readonly done: Promise<void>;
}

interface Gate {
  readonly arrived: () => void;
  readonly opened: Promise<void>;
  readonly done: () => void;
}

function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give!: () => void;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
}

/**
 * A backend before which a test can stop a call, to put another one in between: races without luck. All calls go to the real
 * backend.
 */
export class BarrierBackend {
  readonly backend: SessionBackend;
  /** How many calls of each method have been made. */
  readonly calls: Record<string, number> = {};
  readonly #failing = new Set<string>();
  readonly #losing = new Set<string>();
  readonly #gates = new Map<string, Gate>();

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
          await gate?.opened;
          try {
            if (this.#failing.has(name)) throw new Error('the store is out of order');
            const result: unknown = await Reflect.apply(method, target, args);
            if (this.#losing.delete(name)) throw new Error('the response of the store was lost');
            return result;
          } finally {
            gate?.done();
          }
        };
      },
    });
  }

  /** Makes every call of these methods fail, until `heal()`. */
  fail(...methods: Method[]): void {
    for (const method of methods) this.#failing.add(method);
  }

  /** The store carries out the next call of `method`, and its response is lost. */
  loseNextResponse(method: Method): void {
    this.#losing.add(method);
  }

  heal(): void {
    this.#failing.clear();
  }

  /** Stops the next call of `method` before it reaches the store. */
  stopNext(method: Method): StoppedCall {
    const [arrived, opened, done] = [signal(), signal(), signal()];
    this.#gates.set(method, { arrived: arrived.give, opened: opened.given, done: done.give });
    return { arrived: arrived.given, letGo: opened.give, done: done.given };
  }

  /** Stops a login from a session before its last step, which makes the new session: the old one is deleted then. */
  stopLastStepOfLogin(): StoppedCall {
    const deletion = this.stopNext('delete');
    const [opened, done] = [signal(), signal()];
    const arrived = deletion.arrived.then(async () => {
      const creation = this.stopNext('create');
      void opened.given.then(creation.letGo);
      void creation.done.then(done.give);
      deletion.letGo();
      await creation.arrived;
    });
    return { arrived, letGo: opened.give, done: done.given };
  }

  get total(): number {
    return Object.entries(this.calls)
      .filter(([name]) => name !== 'open' && name !== 'close')
      .reduce((sum, [, count]) => sum + count, 0);
  }
}
