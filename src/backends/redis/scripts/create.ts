import { EXPIRES_AT_AT, LAST_ACCESSED_AT, OWNER_AT, STATUS_AT, TIME_CHARS } from '../../../records/record-text.js';
import {
  GONE,
  IN_TIME,
  IS_LISTED,
  LIST,
  PARTS,
  RECORD_HEAD,
  REMOVE,
  SURPLUS,
  NOTIFY_ENDED,
  TORN,
  UNLIST,
} from './script-parts.js';

/** Expired members that a creation takes out of the index: more than it enters, so that the index does not grow. */
const PRUNED_AT_ONCE = 20;

/**
 * Stores a new record, enters it in the index, keeps the limit and removes the record that it replaces, or leaves an alias there: all or
 * nothing.
 *
 * KEYS 1 the record
 * ARGV 1 lifetime in ms, 2 now, 3 earliest and 4 latest server time in ms, 5 most sessions or '0', 6 '1' to reject beyond it;
 *      then nothing, or 7 member to replace, 8 the version that it must have;
 *      then nothing, or 9 lifetime in ms of the alias to leave in its place
 * TEXT 1 record, 2 alias
 *
 * Returns an array: 'created' and the evicted members, or one word; then nothing was stored. 'late': the server's time is not between the
 * two. 'full': the index has as many living sessions as the limit allows, and rejects another. 'crowded': the user has many more than that, or
 * some that a log-out everywhere has not ended yet.
 *
 * Other sessions are looked at only when their number exceeds the limit, and then only those that have to go. What has expired by the caller's
 * clock, but is still there, makes room first and does not count as evicted: so the limit holds whichever of the clocks is wrong.
 *
 * The first write is the one that a full Redis refuses (OOM), so that nothing is removed by a script that cannot finish.
 * In a slot that moves it runs on the new node alone, as the record is not on the old one; it waits there for what it has to look at.
 */
export const CREATE = `${RECORD_HEAD}${IN_TIME}${PARTS}${TORN}${IS_LISTED}${LIST}${UNLIST}
if not isInTime(ARGV[3], ARGV[4]) then return {'late'} end

local index = indexOf(KEYS[1])
local member = memberOf(KEYS[1])
local listed = isListed(string.sub(TEXT[1], ${STATUS_AT + 1}, ${OWNER_AT + 1}))
local lastAccessed = string.sub(TEXT[1], ${LAST_ACCESSED_AT + 1}, ${LAST_ACCESSED_AT + TIME_CHARS})
local expiresAt = string.sub(TEXT[1], ${EXPIRES_AT_AT + 1}, ${EXPIRES_AT_AT + TIME_CHARS})
local most = tonumber(ARGV[5])
local replaced = ARGV[7] or ''

local entries = 0
local gone = {}
local ending = false
if listed then
  entries = redis.call('ZCARD', index)
  local expired = {}
  if entries > 0 then
    for _, due in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[2], 'LIMIT', 0, ${PRUNED_AT_ONCE})) do
      if due == ENDING then ending = true else expired[#expired + 1] = due end
    end
  end
  if inCluster then
    local needed = withRecords({index}, index, expired)
    if ending then needed[#needed + 1] = index .. ENDING end
    if entries == 0 then needed[#needed + 1] = KEYS[1] end
    if torn(needed) then return MOVING end
  end
  if #expired > 0 then
    ${GONE}
    gone = goneOf(index, expired)
  end
end

if replaced ~= '' then
  local old = head(index .. replaced)
  if not old and torn({KEYS[1], index .. replaced}) then return MOVING end
  if not old then return {'missing'} end
  if old.newer then return {'newer'} end
  if old.version ~= ARGV[8] then return {'changed'} end
end

local beingEnded = ending and replaced ~= '' and redis.call('ZSCORE', index .. ENDING, replaced)
local part
if listed and most > 0 then
  local excess = math.floor(entries / 2) - #gone + 1 - most
  if ending then excess = excess + math.floor(redis.call('ZCARD', index .. ENDING) / 2) end
  if excess > 0 and replaced ~= '' and redis.call('ZSCORE', index, replaced) then excess = excess - 1 end
  if excess > 0 then
    if ending or excess > AT_ONCE then return {'crowded'} end
    ${SURPLUS}
    part = surplus(index, {replaced, unpack(gone)}, excess, ARGV[2])
    if part.torn then return MOVING end
    if part.newer then return {'newer'} end
    if ARGV[6] == '1' and #part.evicted + part.pending > 0 then return {'full'} end
  end
end

if not redis.call('SET', KEYS[1], TEXT[1], 'PX', ARGV[1], 'NX') then return {'exists'} end
-- Before others leave: an index that loses its last member goes, and its lifetime with it.
if listed then list(index, member, lastAccessed, expiresAt, ARGV[1], entries) end
if #gone > 0 then unlist(index, gone) end
if replaced ~= '' then
  if ARGV[9] then
    redis.call('SET', index .. replaced, TEXT[2], 'PX', ARGV[9])
  else
    redis.call('DEL', index .. replaced)
  end
  if listed then unlist(index, {replaced}) end
end
if part then
  ${REMOVE}
  unlist(index, part.gone)
  remove(index, part.leaving)
end
-- What takes the place of a session that is being ended is ended with it.
if beingEnded then
  list(index .. ENDING, member, lastAccessed, expiresAt, ARGV[1])
end
local evicted = part and part.evicted or {}
if replaced ~= '' or #evicted > 0 then
  ${NOTIFY_ENDED}
  local ended = {unpack(evicted)}
  if replaced ~= '' then ended[#ended + 1] = replaced end
  notifyEnded(index, ended)
end
return {'created', unpack(evicted)}
`;
