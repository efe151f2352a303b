import type { KnownId } from '../sessions/session-successors.js';
import type { SessionWatches, Watch } from '../sessions/session-watches.js';
import type { Session } from '../sessions/session.js';

/** Left for the reply to the message that has ended the session. */
const REPLY_MS = 100;

/** Ends one connection when the session that it has ends. */
export class ConnectionEnd {
  #lineage: string | null = null;
  #watch: Watch | undefined;
  /** Messages that exchange the session, which ends the former one. */
  #runningExchanges = 0;
  #hasEnded = false;
  #isOver = false;

  /** @param close closes the connection */
  constructor(
    private readonly watches: Pick<SessionWatches, 'watch'>,
    private readonly close: () => void,
  ) {}

  /** Whether it knows the session of the connection, or that it has had one. */
  get isWatching(): boolean {
    return this.#lineage !== null;
  }

  /** The living session of the connection, by the id to which it has come as far as it is known here; `null`: there is none. */
  get known(): KnownId | null {
    const id = this.#watch?.id ?? null;
    return id === null || this.#lineage === null ? null : { id, lineage: this.#lineage };
  }

  /** Called when a message has looked up the session, or signed the connection in. @param lineage see `lineageOf()` */
  watch(session: Session, lineage: string): void {
    if (lineage === this.#lineage || this.#isOver) return;
    this.#watch?.stop();
    this.#lineage = lineage;
    this.#hasEnded = false;
    this.#watch = this.watches.watch(session, () => {
      if (this.#lineage === lineage) this.#ended();
    });
  }

  /** Called when the connection is closed. */
  stop(): void {
    this.#watch?.stop();
    this.#isOver = true;
  }

  #ended(): void {
    this.#hasEnded = true;
    if (this.#runningExchanges === 0) this.#closeSoon();
  }

  /** Runs what may end the session of the connection, and may give it another one. */
  async during<T>(exchange: () => Promise<T>): Promise<T> {
    this.#runningExchanges++;
    try {
      return await exchange();
    } finally {
      this.#runningExchanges--;
      if (this.#hasEnded && this.#runningExchanges === 0) this.#closeSoon();
    }
  }

  #closeSoon(): void {
    setTimeout(() => {
      if (this.#hasEnded && this.#runningExchanges === 0 && !this.#isOver) this.close();
    }, REPLY_MS).unref();
  }
}
