import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { StoredSession } from '../records/stored-session.js';
import { Session } from '../sessions/session.js';
import type { TokenFinder, TokenSearch } from './token-finder.js';

/** What is known of one connection: the request that opened it, and the session that its messages have. */
export class Connection {
  /** Undefined: no message has looked for a token yet. */
  #search: TokenSearch | Promise<TokenSearch> | undefined;
  /** The session as the last message has seen it; `null`: it has found none. */
  #latest: Session | null = null;
  #readAt = 0;

  /**
   * @param token where the client has sent one beside the headers of `request`
   * @param isHandshake false: `request` is a single message
   */
  constructor(
    readonly request: PlatformRequest,
    private readonly token: string | undefined,
    readonly isHandshake: boolean,
  ) {}

  /** The token of the connection. It is verified once: the store says whether it still opens a session. */
  search(finder: TokenFinder): TokenSearch | Promise<TokenSearch> {
    if (this.#search !== undefined) return this.#search;
    const raw = rawRequestOf(this.request);
    return this.#keep(this.token === undefined ? finder.find(raw) : finder.findBeside(this.token, raw));
  }

  /** Called when a message has got a new token: the messages after it have its session. */
  signedIn(session: Session, token: string, finder: TokenFinder): void {
    this.#latest = session;
    void this.#keep(finder.judge(token));
  }

  #keep(search: TokenSearch | Promise<TokenSearch>): TokenSearch | Promise<TokenSearch> {
    this.#search = search;
    if (search instanceof Promise) {
      search.then(
        (settled) => {
          if (this.#search === search) this.#search = settled;
        },
        () => {
          // The next message asks again.
          if (this.#search === search) this.#search = undefined;
        },
      );
    }
    return search;
  }

  /** Called when a message has looked up the session. @param readAt `null`: it took what an earlier message has read */
  lookedUp(session: Session | null, readAt: number | null): void {
    this.#latest = session;
    this.#readAt = readAt ?? this.#readAt;
  }

  /** The session as it was read at `earliest` or later, with what the messages have stored since then; `null`: it was not read since. */
  recent(earliest: number): StoredSession | null {
    if (this.#latest === null || this.#readAt < earliest) return null;
    const state = Session.stateOf(this.#latest);
    return state.isEnded ? null : state.snapshot();
  }
}
