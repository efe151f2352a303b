import { RECORD_HEAD } from './record-head.js';

/**
 * The living records of one user. Members that have expired, or whose record is gone, leave the index.
 *
 * KEYS 1 the index
 * ARGV 1 now
 *
 * Returns member, record, member, record, …
 */
export const LIST_BY_USER = `${RECORD_HEAD}
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
local needed = {KEYS[1]}
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for _, member in ipairs(members) do needed[#needed + 1] = KEYS[1] .. member end
for _, member in ipairs(expired) do needed[#needed + 1] = KEYS[1] .. member end
if torn(needed) then return MOVING end

local found = {}
for _, member in ipairs(members) do
  local text = redis.pcall('GET', KEYS[1] .. member)
  if type(text) == 'string' then
    found[#found + 1] = member
    found[#found + 1] = text
  else
    redis.pcall('ZREM', KEYS[1], member)
  end
end
unlist(KEYS[1], goneOf(KEYS[1], expired))
return found
`;
