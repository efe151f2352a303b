import { SessionNotFoundError } from '../errors/session-errors.js';
import { isSessionId, tagOf, type SessionId } from '../tokens/session-secret.js';
import { encodePayload, NO_USER, withMetadata, type FormerId, type SessionMetadata } from './payload.js';
import { isInstant, LAST_INSTANT, type SessionRecord } from './session-record.js';
import type { StoredPayload } from './stored-payload.js';
import type { StoredSession } from './stored-session.js';

/** The most former ids that a session remembers, for CSRF tokens. */
const MOST_FORMER_IDS = 8;

/** Where an alias leads, and until when. */
interface AliasTarget {
  readonly successor: SessionId;
  /** Milliseconds since the epoch. */
  readonly graceEndsAt: number;
  /** See {@link aliasLineageOf}; `null` for a session without a user, which is in no index. */
  readonly lineage: string | null;
}

/** What a new id changes in the metadata of a session. */
interface IdChange {
  readonly now: number;
  /** `null`: the old id is dead at once. */
  readonly graceEndsAt: number | null;
  /** Whether CSRF tokens of the old id fit as long as the session has the new one, and not only for the grace. */
  readonly keepsCsrfTokens?: boolean;
  /** Whether the session is another one for what is open by its old id: `SessionMetadata.lineage` begins anew. */
  readonly startsLineage?: boolean;
}

/** What all ids of one session have in common: its first id. A login, a new proof of identity and changed credentials begin another one. */
export function lineageOf(id: SessionId, { lineage }: Pick<SessionMetadata, 'lineage'>): string {
  return lineage ?? id;
}

/** What a session and all aliases that lead to it have in common. A new id without a grace begins another one too. */
export function aliasLineageOf({ record, content: { metadata } }: StoredSession): string {
  return metadata.deadId ?? lineageOf(record.id, metadata);
}

/**
 * The record that leads from the old id of a session to its successor. Of the session it holds only how long it lasts. It is kept after the grace, until the
 * session would have expired, so that a late use of the old id can be told from an unknown one.
 */
export function aliasRecord(
  replaced: StoredSession,
  successor: SessionRecord,
  { now, graceEndsAt }: { readonly now: number; readonly graceEndsAt: number },
): SessionRecord {
  const { record: old, content } = replaced;
  const { createdAt, ttlMs, absoluteExpiresAt } = content.metadata;
  const lineage = content.isAnonymous ? {} : { lineage: aliasLineageOf(replaced) };
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
      deadId: null,
    },
    userText: NO_USER,
    data: { successor: successor.id, graceEndsAt, ...lineage },
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

/** Where an alias leads; `null` if what it says is not ours. */
export function aliasTarget({ record, content }: StoredSession): AliasTarget | null {
  const { successor, graceEndsAt, lineage } = dataOf(content);
  const isOurs = isSessionId(successor) && successor !== record.id && tagOf(successor) === tagOf(record.id);
  if (!isOurs || !isInstant(graceEndsAt)) return null;
  return { successor, graceEndsAt, lineage: typeof lineage === 'string' ? lineage : null };
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
  const lineage = startsLineage ? null : lineageOf(oldId, metadata);
  const deadId = graceEndsAt === null ? oldId : metadata.deadId;
  return withMetadata(metadata, { idIssuedAt: now, formerIds, lineage, deadId: startsLineage ? null : deadId });
}

/** An id before the last one leads to the session by way of it, so it ends with its grace. */
function formerIdsUntil(formerIds: readonly FormerId[], now: number, graceEndsAt: number): FormerId[] {
  return formerIds
    .filter(({ until }) => until > now)
    .map(({ id, until }) => ({ id, until: Math.min(until, graceEndsAt) }));
}

/** A damaged content has reported itself, and leads nowhere. */
function dataOf(content: StoredPayload): { readonly [Key in keyof AliasTarget]?: unknown } {
  try {
    return content.data as object;
  } catch (error) {
    if (error instanceof SessionNotFoundError) return {};
    throw error;
  }
}
