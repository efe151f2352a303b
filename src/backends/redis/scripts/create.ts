import { RECORD_HEAD } from './record-head.js';

/**
 * Stores a new record, enters it in the index, keeps the limit and removes the record that it replaces: all or nothing.
 *
 * KEYS 1 the record
 * ARGV 1 record as text, 2 lifetime in ms, 3 now, 4 expiresAt, 5 member, 6 '1' to list it, 7 latest server time in ms,
 *      8 most sessions or '0', 9 '1' to reject beyond it, 10 member to replace or '', 11 the version that it must have
 *
 * Returns an array: 'created' and the evicted members, or one word.
 *
 * The first write is the one that a full Redis refuses (OOM), so that nothing is removed by a script that cannot finish.
 * In a slot that moves it runs on the new node alone, as the record is not on the old one; it waits there for what it has to look at.
 */
export const CREATE = `${RECORD_HEAD}
local time = redis.call('TIME')
if tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) > tonumber(ARGV[7]) then return {'late'} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end

local index = indexOf(KEYS[1])
local listed = ARGV[6] == '1'
local most = tonumber(ARGV[8])
local members = {}
local expired = {}
if listed then
  expired = redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[3])
  if most > 0 then members = redis.call('ZRANGEBYSCORE', index, '(' .. ARGV[3], '+inf') end
  local needed = {index}
  for _, member in ipairs(members) do needed[#needed + 1] = index .. member end
  for _, member in ipairs(expired) do needed[#needed + 1] = index .. member end
  if redis.call('EXISTS', index) == 0 then needed[#needed + 1] = KEYS[1] end
  if torn(needed) then return MOVING end
end

local replaced = ARGV[10]
if replaced ~= '' then
  local old = head(index .. replaced)
  if not old and torn({KEYS[1], index .. replaced}) then return MOVING end
  if not old then return {'missing'} end
  if old.version ~= ARGV[11] then return {'changed'} end
end

local evicted = {}
if most > 0 and listed then
  local others = {}
  for _, member in ipairs(members) do
    if member ~= replaced and head(index .. member) then others[#others + 1] = member end
  end
  if #others + 1 > most and ARGV[9] == '1' then return {'limit'} end
  for i = 1, #others + 1 - most do evicted[i] = others[i] end
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
prune(index, expired)
if replaced ~= '' then
  redis.call('DEL', index .. replaced)
  if listed then redis.call('ZREM', index, replaced) end
end
for _, member in ipairs(evicted) do
  redis.call('DEL', index .. member)
  redis.call('ZREM', index, member)
end
if listed then list(index, ARGV[5], ARGV[4], ARGV[2]) end
return {'created', unpack(evicted)}
`;
