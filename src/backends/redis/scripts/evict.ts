import { RECORD_HEAD } from './record-head.js';

/**
 * Removes sessions of one user that nobody has used since they were looked at.
 *
 * KEYS 1 the index
 * ARGV member, its lastAccessed, member, its lastAccessed, … of at most AT_ONCE sessions
 *
 * Returns the members that it removed.
 */
export const EVICT = `${RECORD_HEAD}
local members = {}
for i = 1, #ARGV, 2 do members[#members + 1] = ARGV[i] end
if torn(withRecords({KEYS[1]}, KEYS[1], members)) then return MOVING end

local removed = {}
for i = 1, #ARGV, 2 do
  local old = head(KEYS[1] .. ARGV[i])
  if old and not old.newer and old.lastAccessed == ARGV[i + 1] then removed[#removed + 1] = ARGV[i] end
end
remove(KEYS[1], removed)
return removed
`;
