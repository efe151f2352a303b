import { isSessionId, tagOf, type SessionId } from '../tokens/session-secret.js';
import { encodePayload, NO_USER, withMetadata, type FormerId, type SessionMetadata } from './payload.js';
import { isInstant, LAST_INSTANT, type SessionRecord } from './session-record.js';
import type { StoredSession } from './stored-session.js';

/** The most former ids that a session remembers, for CSRF tokens. */
const MOST_FORMER_IDS = 8;

/** Where an alias leads, and until when. */
export interface AliasTarget {
  readonly successor: SessionId;
  /** Milliseconds since the epoch. */
  readonly graceEndsAt: number;
}

/** What a new id changes in the metadata of a session. */
export interface IdChange {
  readonly now: number;
  /** `null`: the old id is dead at once. */
  readonly graceEndsAt: number | null;
  /** Whether CSRF tokens of the old id fit as long as the session has the new one, and not only for the grace. */
  readonly keepsCsrfTokens?: boolean;
  /** Whether the session is another one for what is open by its old id: `SessionMetadata.lineage` begins anew. */
  readonly startsLineage?: boolean;
}

/**
 * The record that leads from the old id of a session to its successor. Of the session it holds only how long it lasts. It is kept after the grace, until the
 * session would have expired, so that a late use of the old id can be told from an unknown one.
 */
export function aliasRecord(
  { record: old, content: { metadata } }: StoredSession,
  successor: SessionRecord,
  { now, graceEndsAt }: { readonly now: number; readonly graceEndsAt: number },
): SessionRecord {
  const { createdAt, ttlMs, absoluteExpiresAt } = metadata;
  const payload = encodePayload(old.id, {
    metadata: {
      createdAt,
      ttlMs,
      absoluteExpiresAt,
      ipAddress: null,
      userAgent: null,
      isRemembered: false,
      authenticatedAt: null,
      authMethods: [],
      idIssuedAt: createdAt,
      formerIds: [],
      lineage: null,
    },
    userText: NO_USER,
    data: { successor: successor.id, graceEndsAt },
    flash: [],
    oneTime: [],
  });
  return {
    id: old.id,
    version: old.version + 1,
    status: 'alias',
    userTag: null,
    lastAccessed: now,
    expiresAt: successor.expiresAt,
    payload,
  };
}

/**
 * Where an alias leads; `null` if what it says is not ours.
 *
 * @throws SessionNotFoundError when its content is damaged
 */
export function aliasTarget({ record, content }: StoredSession): AliasTarget | null {
  const { successor, graceEndsAt } = content.data as { readonly successor?: unknown; readonly graceEndsAt?: unknown };
  const isOurs = isSessionId(successor) && successor !== record.id && tagOf(successor) === tagOf(record.id);
  return isOurs && isInstant(graceEndsAt) ? { successor, graceEndsAt } : null;
}

/** The metadata of a session that gets a new id instead of `oldId`. */
export function metadataOfNewId(
  metadata: SessionMetadata,
  oldId: SessionId,
  { now, graceEndsAt, keepsCsrfTokens = false, startsLineage = false }: IdChange,
): SessionMetadata {
  const formerIds =
    graceEndsAt === null
      ? []
      : [
          ...formerIdsUntil(metadata.formerIds, now, graceEndsAt),
          { id: oldId, until: keepsCsrfTokens ? LAST_INSTANT : graceEndsAt },
        ].slice(-MOST_FORMER_IDS);
  const lineage = startsLineage ? null : (metadata.lineage ?? oldId);
  return withMetadata(metadata, { idIssuedAt: now, formerIds, lineage });
}

/** An id before the last one leads to the session by way of it, so it ends with its grace. */
function formerIdsUntil(formerIds: readonly FormerId[], now: number, graceEndsAt: number): FormerId[] {
  return formerIds
    .filter(({ until }) => until > now)
    .map(({ id, until }) => ({ id, until: Math.min(until, graceEndsAt) }));
}
