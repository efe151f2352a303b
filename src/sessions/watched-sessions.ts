import type { SessionError } from '../errors/session-error.js';
import { noRequest } from '../no-request.js';
import type { SessionId } from '../tokens/session-secret.js';

/** One who wants to know of the end of a session. */
export class Watcher {
  /** null: it has ended, or is not watched any more. */
  watched: WatchedSession | null = null;

  constructor(readonly ended: (reason: SessionError) => void) {}
}

/** A session that is watched, under its present id as far as it is known here. */
export interface WatchedSession {
  id: SessionId;
  /** See `lineageOf()`. */
  readonly lineage: string;
  /** When it ends if nothing renews it, as known here; milliseconds since the epoch. */
  expiresAt: number;
  readonly watchers: Set<Watcher>;
}

/** The sessions that are watched, each once, and by whom. */
export class WatchedSessions {
  readonly #byId = new Map<SessionId, WatchedSession>();

  /** @param failed called with what a watcher has thrown */
  constructor(private readonly failed: (error: unknown) => void) {}

  get size(): number {
    return this.#byId.size;
  }

  all(): Iterable<WatchedSession> {
    return this.#byId.values();
  }

  /** @param id may be any text */
  get(id: string): WatchedSession | undefined {
    return this.#byId.get(id as SessionId);
  }

  /** Whether it is still watched under the id that it has. */
  has(watched: WatchedSession): boolean {
    return this.#byId.get(watched.id) === watched;
  }

  /** @returns whether it is the first one to watch the session */
  add(watcher: Watcher, session: Omit<WatchedSession, 'watchers'>): boolean {
    const known = this.#byId.get(session.id);
    const watched = known ?? { ...session, watchers: new Set() };
    watcher.watched = watched;
    watched.watchers.add(watcher);
    if (known === undefined) this.#byId.set(session.id, watched);
    return known === undefined;
  }

  remove(watcher: Watcher): void {
    const { watched } = watcher;
    watcher.watched = null;
    if (watched?.watchers.delete(watcher) === true && watched.watchers.size === 0) this.#forget(watched);
  }

  /** Notifies all who watch it. */
  end(watched: WatchedSession, reason: SessionError): void {
    this.#forget(watched);
    // One that is removed meanwhile by another is not reached.
    for (const watcher of watched.watchers) this.notify(watcher, reason);
  }

  notify(watcher: Watcher, reason: SessionError): void {
    watcher.watched = null;
    try {
      noRequest.runInAsyncScope(watcher.ended, undefined, reason);
    } catch (error) {
      this.failed(error);
    }
  }

  /** It goes on under another id, perhaps together with others who watch it by that. @returns what is watched under that id now */
  move(watched: WatchedSession, id: SessionId): WatchedSession {
    this.#forget(watched);
    watched.id = id;
    const other = this.#byId.get(id);
    if (other === undefined) {
      this.#byId.set(id, watched);
      return watched;
    }
    for (const watcher of watched.watchers) {
      watcher.watched = other;
      other.watchers.add(watcher);
    }
    return other;
  }

  clear(): void {
    this.#byId.clear();
  }

  #forget(watched: WatchedSession): void {
    if (this.has(watched)) this.#byId.delete(watched.id);
  }
}
