import type { SessionRecord, SessionStatus, SessionTimes } from '../../records/session-record.js';
import { ownCopy } from '../../tokens/own-copy.js';
import { memberOf, tagOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';

/** A record as it is kept: changed in place, and linked into the order of creation, which spares an object for each link. */
export class StoredRecord {
  /** The id in its two parts, each of them also a key of a table. Those under one tag share it. */
  tag: UserTag;
  readonly member: string;
  version: number;
  status: SessionStatus;
  payload: string;
  /** Its neighbours in `CreationOrder`. */
  older: StoredRecord | null = null;
  newer: StoredRecord | null = null;
  #lastAccessed: number;
  /** From the last access to the expiry, in ms. V8 keeps an integer below 2^31 in the object itself, and an instant in another one. */
  #lifetime: number;

  constructor({ id, version, status, lastAccessed, expiresAt, payload }: SessionRecord) {
    this.tag = ownCopy(tagOf(id));
    this.member = ownCopy(memberOf(id));
    this.version = version;
    this.status = status;
    this.payload = ownCopy(payload);
    this.#lastAccessed = lastAccessed;
    this.#lifetime = expiresAt - lastAccessed;
  }

  get id(): SessionId {
    return (this.tag + this.member) as SessionId;
  }

  get userTag(): UserTag | null {
    return this.tag;
  }

  get lastAccessed(): number {
    return this.#lastAccessed;
  }

  get expiresAt(): number {
    return this.#lastAccessed + this.#lifetime;
  }

  setTimes({ lastAccessed, expiresAt }: SessionTimes): void {
    this.#lastAccessed = lastAccessed;
    this.#lifetime = expiresAt - lastAccessed;
  }

  /** A record to hand out, which later changes do not reach. */
  handOut(): SessionRecord {
    const { id, version, status, userTag, lastAccessed, expiresAt, payload } = this;
    return { id, version, status, userTag, lastAccessed, expiresAt, payload };
  }
}

/** Of no user: an anonymous session, or an alias. That is fixed, so its class tells it, which takes no memory. */
class UnownedRecord extends StoredRecord {
  override get userTag(): null {
    return null;
  }
}

export function storedRecord(record: SessionRecord): StoredRecord {
  return record.userTag === null ? new UnownedRecord(record) : new StoredRecord(record);
}
