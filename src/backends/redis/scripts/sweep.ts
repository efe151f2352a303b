import { LOGOUT_PARTS } from './script-parts.js';

/**
 * Ends a part of the sessions that a log-out everywhere has moved away from the index of their user. Until then they can still be used; what
 * a use has entered into the index again leaves it here. None is kept: the session that the log-out spares has left before, and what a later one
 * would spare is not its to save.
 *
 * KEYS 1 the index
 * ARGV 1 now
 *
 * Returns an array: 'more', or 'done' after the last part, and the members whose active, unexpired records it removed; or 'newer'.
 */
export const SWEEP = `${LOGOUT_PARTS}
local index = KEYS[1]
if not isEnding(index) then return {'done'} end
local ending = index .. ENDING
if torn({index, ending}) then return MOVING end
local members = membersOf(ending, AT_ONCE)
if torn(withRecords({index, ending}, index, members)) then return MOVING end
local part = endingPart(index, members, '', tonumber(ARGV[1]))
if part.newer then return {'newer'} end
local isLast = #members < AT_ONCE
unlist(index, part.gone)
remove(index, part.leaving)
unlist(ending, members)
if isLast then redis.call('ZREM', index, ENDING) end
notifyEnded(index, part.ended)
return {isLast and 'done' or 'more', unpack(part.ended)}
`;
