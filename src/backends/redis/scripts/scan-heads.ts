import { RECORD_HEAD } from './record-head.js';

/**
 * The heads of some of a user's records. Called again with the cursor that it returns, it comes to every session that is there all the time.
 * Members whose record is gone leave the index.
 *
 * KEYS 1 the index
 * ARGV 1 cursor; '0' begins
 *
 * Returns the next cursor, '0' after the last part, then member, head, member, head, …
 */
export const SCAN_HEADS = `${RECORD_HEAD}
local scanned = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', AT_ONCE)
local members = {}
for i = 1, #scanned[2], 2 do
  if scanned[2][i] ~= ENDING then members[#members + 1] = scanned[2][i] end
end
if torn(withRecords({KEYS[1]}, KEYS[1], members)) then return MOVING end

local result = {scanned[1]}
local gone = {}
for _, member in ipairs(members) do
  local old = head(KEYS[1] .. member)
  if old then
    result[#result + 1] = member
    result[#result + 1] = old.text
  else
    gone[#gone + 1] = member
  end
end
unlist(KEYS[1], gone)
return result
`;
