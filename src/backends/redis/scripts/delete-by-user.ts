import { LOGOUT_PARTS } from './script-parts.js';

/**
 * Ends all sessions of one user but one; of a user with more of them than one script may look at it moves the index away in one step, for
 * SWEEP to end them part by part. Its cost follows from the number of that user's sessions alone, and has a bound.
 *
 * KEYS 1 the index, of which every record key is a continuation
 * ARGV 1 the member to keep, or '', 2 now
 *
 * Returns an array: 'ended' and the members whose active, unexpired records it removed; or one word: 'moved'; 'unfinished' where something was
 * moved away before, and nothing was done; 'newer'.
 */
export const DELETE_BY_USER = `${LOGOUT_PARTS}
local index = KEYS[1]
local ending = index .. ENDING
if isEnding(index) then return {'unfinished'} end

if redis.call('ZCARD', index) > 2 * AT_ONCE then
  if torn({index, ending}) then return MOVING end
  redis.call('RENAME', index, ending)
  -- A full Redis refuses no write behind the first one of a script.
  local kept = redis.call('ZSCORE', ending, ARGV[1])
  if kept then
    redis.call('ZADD', index, kept, ARGV[1], redis.call('ZSCORE', ending, USED .. ARGV[1]), USED .. ARGV[1])
    unlist(ending, {ARGV[1]})
  end
  redis.call('ZADD', index, '-inf', ENDING)
  local ttl = redis.call('PTTL', ending)
  if ttl > 0 then redis.call('PEXPIRE', index, ttl) end
  return {'moved'}
end

local members = membersOf(index)
if torn(withRecords({index}, index, members)) then return MOVING end
local part = endingPart(index, members, ARGV[1], tonumber(ARGV[2]))
if part.newer then return {'newer'} end
unlist(index, part.gone)
remove(index, part.leaving)
notifyEnded(index, part.ended)
return {'ended', unpack(part.ended)}
`;
