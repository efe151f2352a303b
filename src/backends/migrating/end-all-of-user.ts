import type { SessionId, UserTag } from '../../tokens/session-secret.js';
import type { DeleteByUserOptions, SessionBackend } from '../session-backend.interface.js';
import { isPlaceholder, isTrace } from './move-marks.js';

/** A session whose placeholder was removed, so that its move cannot end. */
interface Stopped {
  readonly id: SessionId;
  readonly from: SessionBackend;
}

/**
 * Ends all sessions of a user in both stores: one store after the other, the old one twice, so that a session which moves meanwhile is met,
 * whichever way it goes. A session between the stores is active in neither, and ends with its placeholder.
 *
 * @returns the sessions that this call has ended
 */
export async function endAllOfUser(
  { next, old }: { readonly next: SessionBackend; readonly old: SessionBackend },
  tag: UserTag,
  options: DeleteByUserOptions,
): Promise<SessionId[]> {
  const ended = new Set<SessionId>();
  const stopped: Stopped[] = [];
  for (const store of [old, next, old]) {
    const from = store === old ? next : old;
    for (const placeholder of (await store.listByUser(tag, options)).filter(isPlaceholder)) {
      const { id, version } = placeholder;
      if (id === options.except || (await store.delete(id, { ifVersion: version })) !== 'deleted') continue;
      stopped.push({ id, from });
    }
    for (const id of await store.deleteByUser(tag, options)) ended.add(id);
  }
  for (const { id, from } of stopped) {
    // Its record was taken from there, and could not be put in place of the placeholder. Where it was ended there, no trace is left.
    if (!ended.has(id) && (await hasTrace(from, id))) ended.add(id);
  }
  return [...ended];
}

async function hasTrace(store: SessionBackend, id: SessionId): Promise<boolean> {
  const record = await store.read(id);
  return record !== null && isTrace(record);
}
