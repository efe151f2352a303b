import { RECORD_HEAD } from './record-head.js';

/** Expired members that a creation takes out of the index: more than it enters, so that the index does not grow. */
const PRUNED_AT_ONCE = 20;

/**
 * Stores a new record, enters it in the index, keeps the limit and removes the record that it replaces: all or nothing.
 *
 * KEYS 1 the record
 * ARGV 1 record as text, 2 lifetime in ms, 3 now, 4 expiresAt, 5 member, 6 '1' to list it, 7 latest server time in ms,
 *      8 most sessions or '0', 9 '1' to reject beyond it, 10 member to replace or '', 11 the version that it must have
 *
 * Returns an array: 'created' and the evicted members, or one word. 'crowded': the user has more sessions than the limit allows, and than one
 * script may look at, or some that a log-out everywhere has not ended yet; nothing was stored.
 *
 * The records of other sessions are looked at only when their number exceeds the limit. What has expired by the caller's clock, but is still
 * there, makes room first and does not count as evicted: so the limit holds whichever of the clocks is wrong.
 *
 * The first write is the one that a full Redis refuses (OOM), so that nothing is removed by a script that cannot finish.
 * In a slot that moves it runs on the new node alone, as the record is not on the old one; it waits there for what it has to look at.
 */
export const CREATE = `${RECORD_HEAD}
if serverTime() > tonumber(ARGV[7]) then return {'late'} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end

local index = indexOf(KEYS[1])
local now = tonumber(ARGV[3])
local listed = ARGV[6] == '1'
local most = tonumber(ARGV[8])
local replaced = ARGV[10]

local gone = {}
local ending = false
if listed then
  local expired = redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[3], 'LIMIT', 0, ${PRUNED_AT_ONCE})
  local needed = withRecords({index}, index, expired)
  ending = isEnding(index)
  if ending then needed[#needed + 1] = index .. ENDING end
  if redis.call('EXISTS', index) == 0 then needed[#needed + 1] = KEYS[1] end
  if torn(needed) then return MOVING end
  gone = goneOf(index, expired)
end

if replaced ~= '' then
  local old = head(index .. replaced)
  if not old and torn({KEYS[1], index .. replaced}) then return MOVING end
  if not old then return {'missing'} end
  if old.newer then return {'newer'} end
  if old.version ~= ARGV[11] then return {'changed'} end
end

-- By bytes, as ids are compared everywhere else: Lua compares by the language that the server is set to.
local function isLower(a, b)
  for i = 1, #a do
    if string.byte(a, i) ~= string.byte(b, i) then return string.byte(a, i) < string.byte(b, i) end
  end
  return false
end

local function leavesFirst(a, b)
  if a.expired ~= b.expired then return a.expired end
  if a.lastAccessed ~= b.lastAccessed then return tonumber(a.lastAccessed) < tonumber(b.lastAccessed) end
  return isLower(a.member, b.member)
end

local result = {'created'}
local removed = {}
if listed and most > 0 then
  local members = redis.call('ZCARD', index)
  local count = members - #gone + 1
  if ending then count = count - 1 + redis.call('ZCARD', index .. ENDING) end
  if replaced ~= '' and redis.call('ZSCORE', index, replaced) then count = count - 1 end
  if count > most then
    if ending or members > AT_ONCE then return {'crowded'} end
    local all = redis.call('ZRANGE', index, 0, -1)
    if torn(withRecords({index}, index, all)) then return MOVING end

    gone = {}
    local others = {}
    local living = 0
    for _, member in ipairs(all) do
      local other = head(index .. member)
      if not other then
        gone[#gone + 1] = member
      elseif member ~= replaced then
        if other.newer then return {'newer'} end
        other.member = member
        other.expired = tonumber(other.expiresAt) <= now
        if not other.expired then living = living + 1 end
        others[#others + 1] = other
      end
    end
    if living + 1 > most and ARGV[9] == '1' then return {'limit'} end
    table.sort(others, leavesFirst)
    for i = 1, #others + 1 - most do
      removed[i] = others[i].member
      if not others[i].expired then result[#result + 1] = others[i].member end
    end
  end
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
unlist(index, gone)
if replaced ~= '' then
  redis.call('DEL', index .. replaced)
  if listed then redis.call('ZREM', index, replaced) end
end
remove(index, removed)
if listed then list(index, ARGV[5], ARGV[4], ARGV[2]) end
-- What takes the place of a session that is being ended is ended with it.
if ending and replaced ~= '' and redis.call('ZSCORE', index .. ENDING, replaced) then
  list(index .. ENDING, ARGV[5], ARGV[4], ARGV[2])
end
return result
`;
