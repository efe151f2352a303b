import { EXPIRES_AT_AT, LAST_ACCESSED_AT } from '../../../records/record-text.js';
import { LIFETIME, LIST, PARTS, RECORD_HEAD, TORN } from './script-parts.js';

/**
 * Moves the times of an active record forward, each only if it is later than the stored one; the version and the payload stay.
 *
 * KEYS 1 the record
 * ARGV 1 lastAccessed, 2 expiresAt, 3 lifetime in ms
 *
 * Returns 'touched', 'newer', or 'missing' where there is no active record.
 */
export const TOUCH = `${RECORD_HEAD}${PARTS}${TORN}${LIFETIME}${LIST}
local index = indexOf(KEYS[1])
local member = memberOf(KEYS[1])
local old = head(KEYS[1])
if not old then return 'missing' end
if old.newer then return 'newer' end
if old.status ~= 'a' then return 'missing' end
if old.owned and torn({KEYS[1], index}) then return MOVING end
local isUsed = tonumber(ARGV[1]) > tonumber(old.lastAccessed)
local isRenewed = tonumber(ARGV[2]) > tonumber(old.expiresAt)
if isUsed then redis.call('SETRANGE', KEYS[1], ${LAST_ACCESSED_AT}, ARGV[1]) end
if isRenewed then
  redis.call('SETRANGE', KEYS[1], ${EXPIRES_AT_AT}, ARGV[2])
  local ttl = lifetime(KEYS[1], old, ARGV[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ttl)
  if old.owned then list(index, member, later(old.lastAccessed, ARGV[1]), ARGV[2], ttl) end
elseif isUsed and old.owned then
  redis.call('ZADD', index, 'XX', '1' .. ARGV[1], USED .. member)
end
return 'touched'
`;
