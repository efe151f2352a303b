import { IN_TIME, IS_LISTED, LIFETIME, LIST, PARTS, RECORD_HEAD, NOTIFY_ENDED, TORN, UNLIST } from './script-parts.js';

/**
 * Puts a record in the place of one version of itself. Times that the store knows to be later stay, with their lifetime.
 *
 * KEYS 1 the record
 * ARGV 1 the version that it must have, 2 its new version, 3 status and owner letters, 4 lastAccessed, 5 expiresAt, 6 lifetime in ms,
 *      then nothing, or 7 earliest and 8 latest server time in ms
 * TEXT 1 payload
 *
 * Returns 'replaced', 'changed', 'missing', 'newer', or 'late' where the server's time is not between the two.
 */
export const REPLACE = `${RECORD_HEAD}${IN_TIME}${PARTS}${TORN}${LIFETIME}${IS_LISTED}${LIST}${UNLIST}
if ARGV[7] and not isInTime(ARGV[7], ARGV[8]) then return 'late' end
local index = indexOf(KEYS[1])
local member = memberOf(KEYS[1])
local old = head(KEYS[1])
if not old then return 'missing' end
if old.newer then return 'newer' end
if old.version ~= ARGV[1] then return 'changed' end
if old.owned and torn({KEYS[1], index}) then return MOVING end

local lastAccessed = later(old.lastAccessed, ARGV[4])
local expiresAt = later(old.expiresAt, ARGV[5])
local text = 'sx1 ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. lastAccessed .. ' ' .. expiresAt .. '\\n' .. TEXT[1]
if tonumber(ARGV[5]) > tonumber(old.expiresAt) then
  redis.call('SET', KEYS[1], text, 'PX', lifetime(KEYS[1], old, ARGV[5], ARGV[6]))
else
  redis.call('SET', KEYS[1], text, 'KEEPTTL')
end
if isListed(ARGV[3]) then
  list(index, member, lastAccessed, expiresAt, redis.call('PTTL', KEYS[1]))
elseif old.owned then
  unlist(index, {member})
end
if old.status == 'a' and string.sub(ARGV[3], 1, 1) ~= 'a' then
  ${NOTIFY_ENDED}
  notifyEnded(index, {member})
end
return 'replaced'
`;
