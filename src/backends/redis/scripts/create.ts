import { RECORD_HEAD } from './record-head.js';

/**
 * Stores a new record, enters it in the index, keeps the limit and removes the record that it replaces: all or nothing.
 *
 * KEYS 1 the record, 2 the index, of which every record key is a continuation
 * ARGV 1 record as text, 2 lifetime in ms, 3 now, 4 expiresAt, 5 member, 6 '1' to list it, 7 latest server time in ms,
 *      8 most sessions or '0', 9 '1' to reject beyond it, 10 member to replace or '', 11 the version that it must have
 *
 * Returns an array: 'created' and the evicted members, or one word.
 *
 * The first write is the one that a full Redis refuses (OOM), so that nothing is removed by a script that cannot finish.
 */
export const CREATE = `${RECORD_HEAD}
local time = redis.call('TIME')
if tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) > tonumber(ARGV[7]) then return {'late'} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end

local replaced = ARGV[10]
if replaced ~= '' then
  local old = head(KEYS[2] .. replaced)
  if not old then return {'missing'} end
  if old.version ~= ARGV[11] then return {'changed'} end
end

local evicted = {}
local most = tonumber(ARGV[8])
if most > 0 and ARGV[6] == '1' then
  local others = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[3], '+inf')) do
    if member ~= replaced and head(KEYS[2] .. member) then others[#others + 1] = member end
  end
  if #others + 1 > most and ARGV[9] == '1' then return {'limit'} end
  for i = 1, #others + 1 - most do evicted[i] = others[i] end
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
if replaced ~= '' then
  redis.call('DEL', KEYS[2] .. replaced)
  redis.call('ZREM', KEYS[2], replaced)
end
for _, member in ipairs(evicted) do
  redis.call('DEL', KEYS[2] .. member)
  redis.call('ZREM', KEYS[2], member)
end
if ARGV[6] == '1' then list(KEYS[2], ARGV[5], ARGV[4], ARGV[2]) end
return {'created', unpack(evicted)}
`;
