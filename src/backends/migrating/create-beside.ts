import type { SessionRecord } from '../../records/session-record.js';
import type { SessionId } from '../../tokens/session-secret.js';
import { leastRecentlyUsedFirst } from '../backend-rules.js';
import type { CreateOptions, CreateResult, DeleteResult, SessionBackend } from '../session-backend.interface.js';
import { isPlaceholder } from './move-marks.js';

/** The sessions of a user that are in the other store, and stay there. */
interface Elsewhere {
  readonly records: readonly SessionRecord[];
  /** Ends one of them. */
  readonly delete: (id: SessionId) => Promise<DeleteResult>;
}

/** Creates a session in `store`, where a limit counts the sessions elsewhere too: exactly, unless another process creates one meanwhile. */
export async function createBeside(
  store: SessionBackend,
  record: SessionRecord,
  options: CreateOptions,
  elsewhere: Elsewhere,
): Promise<CreateResult> {
  const { limit, replaces } = options;
  const others = elsewhere.records.filter(({ id }) => id !== replaces?.id);
  if (limit === undefined || record.userTag === null || others.length === 0) return store.create(record, options);
  const all = (await store.listByUser(record.userTag))
    .filter((one) => !isPlaceholder(one) && one.id !== replaces?.id)
    .concat(others);
  const excess = Math.max(0, all.length + 1 - limit.max);
  if (excess > 0 && limit.onLimit === 'reject') return { outcome: 'limit' };

  const leaving = new Set(
    all
      .sort(leastRecentlyUsedFirst)
      .slice(0, excess)
      .map(({ id }) => id),
  );
  const leavingOthers = others.filter(({ id }) => leaving.has(id));
  const max = limit.max - (others.length - leavingOthers.length);
  const result = await store.create(record, { ...options, limit: { ...limit, max } });
  if (result.outcome !== 'created') return result;
  const evicted = [...result.evicted];
  for (const { id } of leavingOthers) if ((await elsewhere.delete(id)) === 'deleted') evicted.push(id);
  return { outcome: 'created', evicted };
}
