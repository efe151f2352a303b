import { GONE, IS_ENDING, MEMBERS, PARTS, RECORD_HEAD, TORN, UNLIST } from './script-parts.js';

/** The most records that one script returns; each may be large. */
const RECORDS_AT_ONCE = 100;

/**
 * The living records in a user's index, or in what a log-out everywhere has moved away from it. Called again with the cursor that it returns,
 * it comes to every session that is there all the time. Members that have expired, or whose record is gone, leave the set.
 *
 * KEYS 1 the index
 * ARGV 1 '' for the index, ':ending' for what was moved away, 2 cursor; '0' begins, 3 now
 *
 * Returns the next cursor, '0' after the last part; '1' if something was moved away, else '0'; then member, record, member, record, …
 */
export const LIST_BY_USER = `${RECORD_HEAD}${PARTS}${TORN}${IS_ENDING}${GONE}${MEMBERS}${UNLIST}
local index = KEYS[1]
local set = index .. ARGV[1]
local now = tonumber(ARGV[3])
local ending = isEnding(index)
if ARGV[1] ~= '' and not ending then return {'0', '0'} end
if torn({index, set}) then return MOVING end

local cursor = '0'
local found
if ARGV[2] == '0' and redis.call('ZCARD', set) <= ${2 * RECORDS_AT_ONCE} then
  found = redis.call('ZRANGEBYSCORE', set, '0', LAST_EXPIRY, 'WITHSCORES')
else
  local scanned = redis.call('ZSCAN', set, ARGV[2], 'COUNT', ${2 * RECORDS_AT_ONCE})
  cursor = scanned[1]
  found = scanned[2]
end
local members = {}
local expired = {}
for i = 1, #found, 2 do
  local member = found[i]
  if member ~= ENDING and string.sub(member, 1, #USED) ~= USED then
    local some = tonumber(found[i + 1]) > now and members or expired
    some[#some + 1] = member
  end
end
if torn(withRecords(withRecords({index, set}, index, members), index, expired)) then return MOVING end

local result = {cursor, ending and '1' or '0'}
local gone = goneOf(index, expired)
for _, member in ipairs(members) do
  local text = redis.pcall('GET', index .. member)
  if type(text) == 'string' then
    result[#result + 1] = member
    result[#result + 1] = text
  else
    gone[#gone + 1] = member
  end
end
unlist(set, gone)
return result
`;
