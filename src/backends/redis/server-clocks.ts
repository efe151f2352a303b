/** How long a server time is used after the server has sent it, milliseconds. */
const BELIEVED_MS = 1000;
/** By how much a clock that is being adjusted may fall behind meanwhile, and what rounding takes. */
const TOLERANCE_MS = 5;

/** The server's time in which a script may be carried out, ms since the epoch. */
export interface TimeWindow {
  readonly earliest: number;
  readonly latest: number;
}

/**
 * The clock of one Redis server, by which alone the server can tell whether it comes to a command too late.
 *
 * Its time comes with the replies of scripts. It is taken for the time at which the reply *arrived*: the server's clock is never behind that
 * estimate, so that a deadline made of it is at most too strict, and what it tells of the elapsed time is measured by this process. A clock that
 * was set back, or another server behind the same address, shows before the deadline matters: a script that runs before the estimated time of
 * its sending is refused like one that comes too late. Either refusal brings the true time.
 */
export class ServerClock {
  /** The server's time minus `performance.now()`. */
  #offset = 0;
  #knownAt = -Infinity;
  #updating: Promise<unknown> | undefined;

  get isKnown(): boolean {
    return performance.now() - this.#knownAt < BELIEVED_MS;
  }

  /** Call it in the turn in which the reply has arrived. */
  set(serverTime: number): void {
    this.#knownAt = performance.now();
    this.#offset = serverTime - this.#knownAt;
  }

  /** @param send sends a script that looks at the clock; callers at the same time share it */
  async update(send: () => Promise<unknown>): Promise<void> {
    this.#updating ??= send().finally(() => {
      this.#updating = undefined;
    });
    await this.#updating;
  }

  /** From now until `endsAt`, by `performance.now()`. */
  windowUntil(endsAt: number): TimeWindow {
    return {
      earliest: Math.floor(this.#offset + performance.now()) - TOLERANCE_MS,
      latest: Math.floor(this.#offset + endsAt),
    };
  }
}

/** The clocks of all servers of a client. */
export class ServerClocks {
  readonly #clocks = new Map<string, ServerClock>();

  /** @param server what the client calls it */
  of(server: string): ServerClock {
    const known = this.#clocks.get(server);
    if (known !== undefined) return known;
    const clock = new ServerClock();
    this.#clocks.set(server, clock);
    return clock;
  }

  /** The next connection may lead to another server. */
  forget(): void {
    this.#clocks.clear();
  }
}
