/**
 * The living records of one user. Members that have expired, or whose record is gone, leave the index.
 *
 * KEYS 1 the index
 * ARGV 1 now
 *
 * Returns member, record, member, record, …
 */
export const LIST_BY_USER = `
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')) do
  local text = redis.pcall('GET', KEYS[1] .. member)
  if type(text) == 'string' then
    found[#found + 1] = member
    found[#found + 1] = text
  else
    redis.pcall('ZREM', KEYS[1], member)
  end
end
redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return found
`;
