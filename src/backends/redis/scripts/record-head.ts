import { SCHEMA } from '../../../records/payload.js';
import { HEAD_CHARS, TIME_CHARS, VERSION_CHARS } from '../../../records/record-text.js';

/** Behind the head, as far as a payload's `{"schema":<number>,` reaches. */
const SCHEMA_CHARS = 20;

const VERSION = '%d'.repeat(VERSION_CHARS);
const TIME = '%d'.repeat(TIME_CHARS);

/**
 * A log-out everywhere of a user with many sessions moves the index to its own name with this behind it. As a member of the index that is
 * made anew it says so: no script has to look for a key that is rarely there.
 */
export const ENDING = ':ending';

/** The most members of an index that one script looks at: Redis serves nobody else meanwhile. */
export const MEMBERS_AT_ONCE = 250;

/**
 * Lua that the other scripts begin with.
 *
 * `head(key)`: the head of a stored record (the fixed widths of `encodeRecord`), or nil where there is none of ours; GETRANGE of a value of
 * another type is an error, which counts as none. Of a record that a later version of this module wrote it has `newer` and `text` alone; a
 * script that meets one where it would have to know more returns 'newer' before it has written anything.
 *
 * `list(…)`: enters a member; the index outlives its longest-lived one and goes with it.
 *
 * `serverTime()`: milliseconds since the epoch, by the clock of the server.
 *
 * `indexOf(record)`: the key of the index, of which every record key is a continuation by 43 characters. The scripts declare one key and
 * make the others from it. Redis Cluster allows that within a slot (tried on 7.0), and a script that declared the index too would be refused
 * for an anonymous session, which has none, as long as its slot is on its way to another node.
 *
 * `torn(keys)`: whether the slot is on its way to another node and some of these keys may lie there. Without this check a script would take
 * them for missing, and drop living sessions from the index. Redis itself tells: an EXISTS of several keys is refused in such a slot unless
 * all of them are here. A script that finds its keys torn returns `MOVING` before it has written anything, which a client of the cluster
 * takes for the server's own TRYAGAIN: it sends the command again after a while, within the command's timeout.
 */
export const RECORD_HEAD = `
local MOVING = redis.error_reply('TRYAGAIN the keys of this user are on their way to another node')
local AT_ONCE = ${MEMBERS_AT_ONCE}
local ENDING = '${ENDING}'

local function head(key)
  local text = redis.pcall('GETRANGE', key, 0, ${HEAD_CHARS + SCHEMA_CHARS - 1})
  if type(text) == 'table' and not string.find(text.err, 'WRONGTYPE', 1, true) then redis.call('GETRANGE', key, 0, 0) end
  if type(text) ~= 'string' then return nil end
  local form = string.match(text, '^sx(%d%d?%d?) ')
  if form and tonumber(form) > 1 then return {newer = true, text = text} end
  local version, status, owner, lastAccessed, expiresAt =
    string.match(text, '^sx1 (${VERSION}) ([aip]) ([us]) (${TIME}) (${TIME})\\n')
  if not version then return nil end
  local schema = string.match(text, '^{"schema":(%d+)[,}]', ${HEAD_CHARS + 1})
  if schema and tonumber(schema) > ${SCHEMA} then return {newer = true, text = text} end
  return {
    text = text,
    version = version,
    status = status,
    owned = owner == 'u',
    lastAccessed = lastAccessed,
    expiresAt = expiresAt
  }
end

local function later(a, b)
  if tonumber(a) > tonumber(b) then return a end
  return b
end

local function serverTime()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function indexOf(record)
  return string.sub(record, 1, -44)
end

-- Adds the records of members to keys.
local function withRecords(keys, index, members)
  for _, member in ipairs(members) do keys[#keys + 1] = index .. member end
  return keys
end

-- Calls f with parts of a list: Lua passes some thousand arguments to a command and not more.
local function inParts(items, f)
  for from = 1, #items, AT_ONCE do f(unpack(items, from, math.min(from + AT_ONCE - 1, #items))) end
end

local function torn(keys)
  local found = false
  inParts(keys, function(...)
    if type(redis.pcall('EXISTS', keys[1], ...)) == 'table' then found = true end
  end)
  return found
end

-- The lifetime of a record whose expiry moves on: what is left of it by the server's clock, and the difference. A caller whose clock is
-- late so cannot stretch it, least of all beyond the absolute end.
local function lifetime(record, old, expiresAt, fallback)
  local left = redis.call('PTTL', record)
  if left < 0 then return tonumber(fallback) end
  return left + tonumber(expiresAt) - tonumber(old.expiresAt)
end

-- Members whose expiry has passed leave the index when their records are gone, not before: a renewal may be under way, or the caller's
-- clock be early. These are those whose records are gone, of at most AT_ONCE.
local function goneOf(index, members)
  local gone = {}
  for _, member in ipairs(members) do
    if not head(index .. member) then gone[#gone + 1] = member end
  end
  return gone
end

local function unlist(index, members)
  inParts(members, function(...) redis.call('ZREM', index, ...) end)
end

-- Removes records and their members.
local function remove(index, members)
  inParts(withRecords({}, index, members), function(...) redis.call('DEL', ...) end)
  unlist(index, members)
end

-- Whether a log-out everywhere has moved an index away, and has not ended all of it. Its sessions live until then.
local function isEnding(index)
  return redis.call('ZSCORE', index, ENDING) and true or false
end

-- What becomes of members, at most AT_ONCE, of a user who is logged out everywhere. Writes nothing.
local function endingPart(index, members, keep, now)
  local part = {leaving = {}, gone = {}, ended = {}}
  for _, member in ipairs(members) do
    local old = head(index .. member)
    if not old then
      part.gone[#part.gone + 1] = member
    elseif member == keep then
      part.kept = member
    elseif old.newer then
      part.newer = true
    elseif old.status ~= 'i' then
      part.leaving[#part.leaving + 1] = member
      if old.status == 'a' and tonumber(old.expiresAt) > now then part.ended[#part.ended + 1] = member end
    end
  end
  return part
end

local function list(index, member, expiresAt, ttl)
  redis.call('ZADD', index, tonumber(expiresAt), member)
  if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
`;
