import { laterTimes } from '../backends/backend-rules.js';
import type { Clock } from '../clock.js';
import { originOf, type SessionCause, type SessionEventOrigin } from '../events/session-event.js';
import { SessionDataError, SessionNotFoundError } from '../errors/session-errors.js';
import type { Change } from '../records/changes.js';
import { assertJsonValue, jsonTextOf, wrongTypeError } from '../records/json-value.js';
import type { SessionMetadata } from '../records/payload.js';
import type { ReadRecord, SessionTimes } from '../records/session-record.js';
import type { StoredPayload } from '../records/stored-payload.js';
import { expiryOf, type StoredSession } from '../records/stored-session.js';
import type { SessionData, SessionUser } from '../records/session-user.js';
import type { StoredFlashMessage } from '../records/flash-message.js';
import type { RandomPool } from '../tokens/random-pool.js';
import { HeldPart } from './held-part.js';
import { SessionFlash } from './session-flash.js';
import type { SessionListener } from './session-listener.js';
import { assertUser } from './user-input.js';

const FLASH_ID_BYTES = 9;

/** The clock, the random source and the size limit that all session objects share. */
export interface SessionEnvironment {
  readonly clock: Clock;
  readonly random: RandomPool;
  readonly maxSessionBytes: number;
}

/** What a commit has to do, and the texts that it was computed from. */
interface PendingChanges {
  readonly changes: readonly Change[];
  readonly userText: string;
  readonly dataText: string;
}

/** Whether a session lives, as far as its holder knows: `ended` by a logout, a deletion or a new login, `invalidated` by `invalidateSession()`. */
export type HeldStatus = 'active' | 'ended' | 'invalidated';

/**
 * Behind a `Session`: the stored session as this holder read it, and what the holder did to it since. Finds changes only in the
 * parts that the holder has accessed: by a picture of the object, which is quick, and where that differs by comparing JSON text.
 */
export class SessionState {
  #stored: StoredSession;
  /** `null` until the holder accesses it; until then it is as stored. */
  #user: HeldPart<SessionUser> | null = null;
  #data: HeldPart<SessionData> | null = null;
  #flash: SessionFlash | null = null;
  /** As stored; undefined: not used yet. */
  #userId: string | undefined;
  #status: HeldStatus = 'active';
  /** The content that the holder saw when it ended the session, or went on with another one. `null` if it has done neither. */
  #textAtEnd: string | null = null;
  #lastWrite: Promise<unknown> | undefined;
  /** Null: the session was loaded or made outside of a request. */
  listener: SessionListener | null = null;
  /** Whether the client's token is for an id that the session no longer has. It gets no token for the newer one. */
  clientHasOldId = false;

  constructor(
    stored: StoredSession,
    private readonly environment: SessionEnvironment,
    private accessedAt: number = stored.record.lastAccessed,
  ) {
    this.#stored = stored;
  }

  /** The stored session as last seen, read anew from its text: the holder may have changed the objects made from it. */
  snapshot(): StoredSession {
    const { record, content } = this.#stored;
    return { record, content: content.unread() };
  }

  get record(): ReadRecord {
    return this.#stored.record;
  }

  get metadata(): SessionMetadata {
    return this.#stored.content.metadata;
  }

  get status(): HeldStatus {
    return this.#status;
  }

  get isEnded(): boolean {
    return this.#status !== 'active';
  }

  /** The origin for an event: the current request if there is one, otherwise the client for which the session was created. */
  originOf(cause: SessionCause): SessionEventOrigin {
    return this.listener?.eventOrigin(cause) ?? originOf(cause, this.metadata);
  }

  /** The instant that ends the session, milliseconds since the epoch. */
  get expiresAt(): number {
    return expiryOf(this.record, this.metadata);
  }

  /** Milliseconds since the epoch; exact, while the store may be up to `touchInterval` behind. */
  get lastAccessed(): number {
    return this.listener?.isPassive() === true ? this.record.lastAccessed : this.accessedAt;
  }

  /** The ids that the session had before, those of which CSRF tokens still fit. */
  formerIds(): string[] {
    const now = this.environment.clock.now();
    return this.metadata.formerIds.filter(({ until }) => until > now).map(({ id }) => id);
  }

  get isAnonymous(): boolean {
    return this.#stored.content.isAnonymous;
  }

  /** The user's id as stored, without noting that the caller may change the user. */
  get userId(): string | null {
    return (this.#userId ??= this.#stored.content.user?.userId) ?? null;
  }

  get user(): SessionUser | null {
    this.listener?.accessed();
    return this.#heldUser()?.object ?? null;
  }

  get data(): SessionData {
    this.listener?.accessed();
    const { content } = this.#stored;
    this.#data ??= HeldPart.handedOut(content.data, content.dataText);
    return this.#data.object;
  }

  get flash(): SessionFlash {
    return (this.#flash ??= new SessionFlash(this.#stored.content.flash));
  }

  addFlash(message: string, category: string): void {
    if (typeof message !== 'string')
      this.#refuse(wrongTypeError(message, 'A flash message is a string.', 'flash.message'));
    if (typeof category !== 'string') {
      this.#refuse(wrongTypeError(category, 'A flash category is a string.', 'flash.category'));
    }
    const { clock, random } = this.environment;
    this.listener?.accessed();
    this.flash.add({ id: random.base64url(FLASH_ID_BYTES), message, category, timestamp: clock.now() });
  }

  #refuse(error: SessionDataError): never {
    this.listener?.misused(error);
    throw error;
  }

  readFlash(clear: boolean): readonly StoredFlashMessage[] {
    return !clear || this.prepareFlash() ? this.flash.read(clear) : [];
  }

  /**
   * Called before flash messages are taken. False: there are none, or no client reads the response of the request.
   *
   * @param mayBeMore whether the store may have some that the holder does not see
   */
  prepareFlash(mayBeMore = false): boolean {
    return (mayBeMore || !this.flash.isEmpty) && this.listener?.prepareFlash() !== false;
  }

  /** Runs one write after the other, whether the one before succeeds or fails. Two writes that were computed from the same changes would store them twice. */
  inTurn<T>(write: () => Promise<T>): Promise<T> {
    const own = this.#lastWrite === undefined ? write() : this.#lastWrite.then(write, write);
    this.#lastWrite = own;
    return own;
  }

  /** Whether there is something to store. After the end of the session: whether it was changed since, which can no longer be stored. */
  hasChanges(): boolean {
    if (this.#textAtEnd !== null) return this.#textAtEnd !== this.#visibleText();
    const isUntouched =
      (this.#user === null || this.#user.isUntouched) &&
      (this.#data === null || this.#data.isUntouched) &&
      (this.#flash === null || !this.#flash.hasChanges);
    return !isUntouched && this.pendingChanges().changes.length > 0;
  }

  /** @throws SessionDataError when the holder put in a value that cannot be stored, or changed the user's id */
  pendingChanges(): PendingChanges {
    const { content } = this.#stored;
    const changes: Change[] = [];
    const userText = this.#user?.textBy((user) => this.#checkedUserText(user)) ?? content.userText;
    const dataText = this.#data?.textBy((data) => this.#checkedDataText(data)) ?? content.dataText;
    for (const { key, value, removed } of this.#user?.changedKeys(userText) ?? []) {
      changes.push(removed ? { op: 'remove-user-field', field: key } : { op: 'set-user-field', field: key, value });
    }
    for (const { key, value, removed } of this.#data?.changedKeys(dataText) ?? []) {
      changes.push(removed ? { op: 'remove', key } : { op: 'set', key, value });
    }
    if (this.#flash !== null) changes.push(...this.#flash.changes);
    return { changes, userText, dataText };
  }

  /** Called after `pending` was stored as `stored`. Those changes are no longer pending. */
  committed(pending: PendingChanges, stored: StoredSession): void {
    this.#storedAs(stored);
    this.#user &&= this.#user.storedAs(pending.userText);
    this.#data &&= this.#data.storedAs(pending.dataText);
    this.#flash?.committed(pending.changes);
  }

  /** Called after `messages` were removed, by which the session became `stored`. Returns all that the holder gets. */
  flashTaken(messages: readonly StoredFlashMessage[], stored: StoredSession): readonly StoredFlashMessage[] {
    this.#storedAs(stored);
    return this.flash.takeRemoved(messages, stored.content.flash);
  }

  /** Called after `messages` were put back, by which the session became `stored`. */
  flashReturned(messages: readonly StoredFlashMessage[], stored: StoredSession): void {
    this.#storedAs(stored);
    this.flash.returned(messages, stored.content.flash);
  }

  /** Called after the one-time values were changed, by which the session became `stored`. */
  oneTimeChanged(stored: StoredSession): void {
    this.#storedAs(stored);
  }

  /** Called after the lifetime was changed, by which the session became `stored`. What the holder has changed is still to be stored. */
  lifetimeChanged(stored: StoredSession): void {
    this.#storedAs(stored);
    this.accessedAt = Math.max(this.accessedAt, stored.record.lastAccessed);
  }

  /** Called after the store has moved the times. */
  touched(times: SessionTimes): void {
    const { record, content } = this.#stored;
    this.#stored = { record: { ...record, ...laterTimes(record, times) }, content };
  }

  /**
   * Called after `pending` has become a part of `stored`, the same session under another id. The holder's objects stay and show it, and
   * what was changed since `pending` was computed is still to be stored.
   */
  continueAs(stored: StoredSession, { changes, userText, dataText }: PendingChanges): void {
    const { content } = stored;
    this.#data &&= this.#data.mergedWith(dataText, content.data, content.dataText);
    this.#user = this.#continuedUser(content, (held, next) => held.mergedWith(userText, next, content.userText));
    this.#flash?.mergeWith(content.flash, changes);
    this.#adopt(stored);
  }

  /**
   * Called after `stored` has replaced the session. The holder's objects show the new content and keep nothing of the old one.
   */
  replaceBy(stored: StoredSession): void {
    const { content } = stored;
    this.#data &&= this.#data.replacedBy(content.data, content.dataText);
    this.#user = this.#continuedUser(content, (held, next) => held.replacedBy(next, content.userText));
    this.#flash?.replaceBy(content.flash);
    this.#adopt(stored);
  }

  /** Called after the holder has ended the session. What was changed before ends with it. */
  end(status: Exclude<HeldStatus, 'active'>): void {
    if (this.isEnded) return;
    this.#status = status;
    this.#textAtEnd = this.#visibleText();
  }

  /** Called when the session turns out to have been ended by another client. What was changed cannot be stored any more. */
  lost(): void {
    this.#status = 'ended';
  }

  /** Called when the request goes on with another session. If this one is known to have ended, what was changed before ends with it. */
  left(): void {
    if (this.isEnded) this.#textAtEnd ??= this.#visibleText();
  }

  /** null: no user is signed in. */
  #heldUser(): HeldPart<SessionUser> | null {
    if (this.#user !== null) return this.#user;
    const { content } = this.#stored;
    const { user } = content;
    if (user === null) return null;
    // Read now, because the holder may change it later.
    this.#userId = user.userId;
    return (this.#user = HeldPart.handedOut(user, content.userText));
  }

  /** The same user keeps the same object. Another user gets a new one, so that code with the old object never sees the new user in it. */
  #continuedUser(
    { user: next }: StoredPayload,
    inPlace: (held: HeldPart<SessionUser>, next: SessionUser) => HeldPart<SessionUser>,
  ): HeldPart<SessionUser> | null {
    const held = this.#user;
    if (held === null || next === null) return null;
    if (next.userId === this.userId) return inPlace(held, next);
    // A change of the old user could not be stored any more, so it must fail.
    Object.freeze(held.object);
    return null;
  }

  #storedAs(stored: StoredSession): void {
    // Another request has given it a newer id meanwhile.
    if (stored.record.id !== this.record.id) this.clientHasOldId = true;
    this.#stored = stored;
  }

  #adopt(stored: StoredSession): void {
    this.#storedAs(stored);
    this.#userId = undefined;
    this.accessedAt = stored.record.lastAccessed;
  }

  /** A session that already exceeds the limit may keep its size, so that it can be reduced step by step. */
  get #mostChars(): number {
    return Math.max(this.environment.maxSessionBytes, this.record.payload.length);
  }

  /** The content that the holder sees, as text for comparison, without values that cannot be stored. */
  #visibleText(): string {
    const { userText, dataText } = this.#stored.content;
    const parts = [
      this.#user === null ? userText : this.#user.visibleText(this.#mostChars),
      this.#data === null ? dataText : this.#data.visibleText(this.#mostChars),
      jsonTextOf(this.#flash?.changes ?? [], this.#mostChars),
    ];
    return parts.join('\n');
  }

  #checkedUserText(user: SessionUser): string {
    assertUser(user, this.#mostChars);
    if (user.userId !== this.userId) {
      throw new SessionDataError(
        'user.userId of a session cannot be changed: call login(), which makes a new session for the other user.',
        'user.userId',
        'user-id',
      );
    }
    return JSON.stringify(user);
  }

  #checkedDataText(data: SessionData): string {
    assertJsonValue(data, 'data', this.#mostChars);
    return JSON.stringify(data);
  }
}

/** The error for a change of a session that has already ended. */
export function sessionEndedError(): SessionNotFoundError {
  return new SessionNotFoundError(
    'The session has ended, so the change was not stored. After a logout use the session that start() or login() returns; outside of a request use the one that regenerateSessionId() returns.',
    'SESSION_ENDED',
  );
}
