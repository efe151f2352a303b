import { RECORD_HEAD } from './record-head.js';

/**
 * Ends all sessions of one user but one. Its cost follows from the number of that user's sessions alone.
 *
 * KEYS 1 the index, of which every record key is a continuation
 * ARGV 1 the member to keep, or '', 2 now
 *
 * Returns 'newer', or 'ended' and the members whose active, unexpired records it removed.
 */
export const DELETE_BY_USER = `${RECORD_HEAD}
local members = redis.call('ZRANGE', KEYS[1], 0, -1)
local needed = {KEYS[1]}
for _, member in ipairs(members) do needed[#needed + 1] = KEYS[1] .. member end
if torn(needed) then return MOVING end

local result = {'ended'}
local gone = {}
local leaving = {}
for _, member in ipairs(members) do
  if member ~= ARGV[1] then
    local old = head(KEYS[1] .. member)
    if not old then
      gone[#gone + 1] = member
    elseif old.newer then
      return {'newer'}
    else
      leaving[#leaving + 1] = member
      if old.status == 'a' and tonumber(old.expiresAt) > tonumber(ARGV[2]) then result[#result + 1] = member end
    end
  end
end
unlist(KEYS[1], gone)
remove(KEYS[1], leaving)
return result
`;
