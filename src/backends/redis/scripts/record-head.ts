/**
 * Lua that the other scripts begin with.
 *
 * `head(key)`: the head of a stored record (the fixed widths of `encodeRecord`), or nil where there is none of ours; GETRANGE of a value of
 * another type is an error, which counts as none. `list(…)`: enters a member; the index outlives its longest-lived one and goes with it.
 */
export const RECORD_HEAD = `
local function head(key)
  local text = redis.pcall('GETRANGE', key, 0, 48)
  if type(text) ~= 'string' or #text ~= 49 or string.sub(text, 1, 4) ~= 'sx1 ' then return nil end
  return {
    version = string.sub(text, 5, 14),
    status = string.sub(text, 16, 16),
    lastAccessed = string.sub(text, 20, 33),
    expiresAt = string.sub(text, 35, 48)
  }
end

local function later(a, b)
  if tonumber(a) > tonumber(b) then return a end
  return b
end

local function list(index, member, expiresAt, ttl)
  redis.call('ZADD', index, tonumber(expiresAt), member)
  if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
`;
