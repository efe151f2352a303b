import type { IncomingMessage } from 'node:http';

import { messageRequest } from '../http/handshake.js';
import { rawRequestOf, type PlatformRequest } from '../http/http-messages.js';
import type { Closable } from '../http/once-closed.js';
import type { ContextRequest } from '../options/context-reader.interface.js';
import { lineageOf } from '../records/alias.js';
import type { StoredSession } from '../records/stored-session.js';
import type { KnownId } from '../sessions/session-successors.js';
import { Session } from '../sessions/session.js';
import type { ConnectionEnd } from './connection-end.js';
import type { TokenFinder, TokenSearch } from './token-finder.js';

/** What is known of one connection: the request that opened it, and the session that its messages have. */
export class Connection {
  /** Undefined: no message has looked for a token yet. */
  #search: TokenSearch | Promise<TokenSearch> | undefined;
  /** The session as the last message has seen it; `null`: it has found none. */
  #latest: Session | null = null;
  #readAt = 0;
  /** That of `#latest`, which may have got a new id since. */
  #known: KnownId | null = null;
  /** Undefined: it does not end with its session. */
  end: ConnectionEnd | undefined;

  /**
   * @param token where the client has sent one beside the headers of `request`
   * @param isHandshake false: `request` is a single message
   * @param socket null: nothing tells when the connection is closed
   */
  constructor(
    readonly request: PlatformRequest,
    private readonly token: string | null | undefined,
    readonly isHandshake: boolean,
    readonly socket: object | null = null,
  ) {}

  /**
   * Goes on from what was known when the upgrade was checked: a session that has ended since must not count as none.
   *
   * @returns this
   */
  continueFrom(upgrade: Connection): this {
    this.#search = upgrade.#search;
    this.#latest = upgrade.#latest;
    this.#readAt = upgrade.#readAt;
    this.#known = upgrade.#known;
    return this;
  }

  /** From now on, it ends with its session. */
  endBy(end: ConnectionEnd): void {
    this.end = end;
    if (this.#latest !== null && this.#known !== null) end.watch(this.#latest, this.#known.lineage);
  }

  /** What tells that it is closed; `null`: nothing does. */
  get closable(): Closable | null {
    const { socket } = this;
    if (socket === null) return null;
    // Node closes a request long before its connection.
    const source: object = 'rawHeaders' in socket ? (socket as IncomingMessage).socket : socket;
    return 'once' in source && typeof source.once === 'function' ? (source as Closable) : null;
  }

  /** Whether what a reader has found is about this connection: its token is looked for once, and must be that of no other connection. */
  isOpenedBy({ request, token }: Pick<ContextRequest, 'request' | 'token'>): boolean {
    if (token !== this.token) return false;
    const { headers } = rawRequestOf(messageRequest(request));
    const known = rawRequestOf(this.request).headers;
    return headers === known || JSON.stringify(headers) === JSON.stringify(known);
  }

  /** The token of the connection. It is verified once: the store says whether it still opens a session. */
  search(finder: TokenFinder): TokenSearch | Promise<TokenSearch> {
    if (this.#search !== undefined) return this.#search;
    const raw = rawRequestOf(this.request);
    return this.#keep(
      this.token === undefined || this.token === null ? finder.find(raw) : finder.findBeside(this.token, raw),
    );
  }

  /** Called when a message has got a new token: the messages after it have its session. */
  signedIn(session: Session, token: string, finder: TokenFinder): void {
    void this.#keep(finder.judge(token));
    this.#setSession(session);
  }

  #keep(search: TokenSearch | Promise<TokenSearch>): TokenSearch | Promise<TokenSearch> {
    this.#search = search;
    if (search instanceof Promise) {
      search.then(
        (settled) => {
          if (this.#search === search) this.#search = settled;
        },
        () => {
          // The next message verifies it again.
          if (this.#search === search) this.#search = undefined;
        },
      );
    }
    return search;
  }

  /**
   * Called when a message has looked up the session.
   *
   * @param search what it has looked for: another message may have signed the connection in meanwhile
   * @param readAt `null`: it took what an earlier message has read
   */
  lookedUp(search: TokenSearch, session: Session | null, readAt: number | null): void {
    if (search !== this.#search) return;
    this.#readAt = readAt ?? this.#readAt;
    if (session !== null) this.#setSession(session);
    else this.#latest = this.#known = null;
  }

  #setSession(session: Session): void {
    const { sessionId: id } = session;
    this.#latest = session;
    this.#known = { id, lineage: lineageOf(id, Session.stateOf(session).metadata) };
    this.end?.watch(session, this.#known.lineage);
  }

  /** Called when the session turns out to have ended, or to have a new id: what messages have read of it is out of date. */
  forget(): void {
    this.#latest = null;
  }

  /** The session that messages with the token of `search` have had so far, or that is watched; `null`: none. */
  knownBy(search: TokenSearch): KnownId | null {
    if (search !== this.#search) return null;
    const watched = this.end?.known ?? null;
    // Not by the id that the token opens: that session has ended, if no message knows it.
    return this.#known ?? (watched?.id === search.token?.verified.sessionId ? null : watched);
  }

  /** The session as it was read at `earliest` or later, with what the messages have stored since then; `null`: it was not read since. */
  recent(search: TokenSearch, earliest: number): StoredSession | null {
    if (this.#latest === null || this.#readAt < earliest || search !== this.#search) return null;
    const state = Session.stateOf(this.#latest);
    return state.isEnded ? null : state.snapshot();
  }
}
