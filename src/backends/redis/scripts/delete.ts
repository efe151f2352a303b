import { PARTS, RECORD_HEAD, NOTIFY_ENDED, TORN, UNLIST } from './script-parts.js';

/**
 * Removes a record and its entry in the index.
 *
 * KEYS 1 the record
 * ARGV 1 the version that it must have, or ''
 *
 * Returns 'deleted', 'changed', 'missing', 'alias' or 'newer'. A value that is no record of ours stays where it is, and so do an alias and an
 * invalidated session if no version is given.
 */
export const DELETE = `${RECORD_HEAD}${PARTS}${TORN}${UNLIST}${NOTIFY_ENDED}
local index = indexOf(KEYS[1])
local member = memberOf(KEYS[1])
local old = head(KEYS[1])
if old and old.newer then return 'newer' end
if old and old.status == 'r' and ARGV[1] == '' then return 'alias' end
if old and old.status == 'i' and ARGV[1] == '' then return 'missing' end
if old and ARGV[1] ~= '' and old.version ~= ARGV[1] then return 'changed' end
if old and old.owned and torn({KEYS[1], index}) then return MOVING end
if not old or old.owned then unlist(index, {member}) end
if not old then return 'missing' end
redis.call('DEL', KEYS[1])
if old.status == 'a' then notifyEnded(index, {member}) end
return 'deleted'
`;
