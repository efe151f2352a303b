import { GONE, MEMBERS, PARTS, RECORD_HEAD, REMOVE, SURPLUS, NOTIFY_ENDED, TORN, UNLIST } from './script-parts.js';

/**
 * Makes room for one more session of a user who has too many, by a part of the sessions that have to leave.
 *
 * KEYS 1 the index
 * ARGV 1 most sessions, 2 '1' to reject beyond it, 3 a member that does not count and stays, or '', 4 now
 *
 * Returns an array: 'room'; 'more' where there is another part; 'full' where the limit rejects; 'newer'. Then the members of the living sessions
 * that it removed. Members whose records are gone, though they have not expired, leave before it rejects.
 */
export const EVICT = `${RECORD_HEAD}${PARTS}${TORN}${MEMBERS}${GONE}${UNLIST}${REMOVE}${SURPLUS}${NOTIFY_ENDED}
local index = KEYS[1]
local rejects = ARGV[2] == '1'
if torn({index}) then return MOVING end
local excess = math.floor(redis.call('ZCARD', index) / 2) + 1 - tonumber(ARGV[1])
if excess > 0 and redis.call('ZSCORE', index, ARGV[3]) then excess = excess - 1 end
if excess <= 0 then return {'room'} end

local part = surplus(index, {ARGV[3]}, math.min(excess, AT_ONCE), ARGV[4])
if part.torn then return MOVING end
if part.newer then return {'newer'} end
if rejects and #part.evicted + part.pending > 0 then
  local members = membersOf(index, AT_ONCE)
  if torn(withRecords({index}, index, members)) then return MOVING end
  local gone = goneOf(index, members)
  unlist(index, gone)
  return {#gone == 0 and 'full' or 'more'}
end
unlist(index, part.gone)
remove(index, part.leaving)
notifyEnded(index, part.evicted)
return {excess > AT_ONCE and 'more' or 'room', unpack(part.evicted)}
`;
