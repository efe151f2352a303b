import { SCHEMA } from '../../../records/payload.js';
import { HEAD_CHARS, TIME_CHARS, VERSION_CHARS } from '../../../records/record-text.js';

/** Behind the head, as far as a payload's `{"schema":<number>,` reaches. */
const SCHEMA_CHARS = 20;

const VERSION = '%d'.repeat(VERSION_CHARS);
const TIME = '%d'.repeat(TIME_CHARS);

/**
 * The first line of a script that uses keys which it does not declare, with a declared one's hash tag: Dragonfly reads it and locks what it
 * has to; for others it is a comment.
 */
export const ALLOW_UNDECLARED_KEYS = '--!df flags=allow-undeclared-keys';

/**
 * A log-out everywhere of a user with many sessions moves the index to its own name with this behind it. As a member of the index that is
 * made anew, with the lowest score of all, it says so: no script has to look for a key that is rarely there.
 */
export const ENDING = ':ending';

/** A member with this before it is the second entry of a session in the index, see `list`. */
const USED = '~';

/** The most sessions of an index that one script looks at: Redis serves no other client meanwhile. */
const MEMBERS_AT_ONCE = 250;

/**
 * Parts of the scripts. A script has those that it needs and no others, as Redis makes the functions anew at each call.
 *
 * `head(key)`: the head of a stored record (the fixed widths of `encodeRecord`), or nil where there is none of ours; GETRANGE of a value of
 * another type is an error, which counts as none. Of a record that a later version of this module wrote it has `newer` alone; a
 * script that meets one where it would have to know more returns 'newer' before it has written anything.
 *
 * `indexOf(record)`: the key of the index, of which every record key is a continuation by the 43 characters of `memberOf(record)`. The
 * scripts declare one key and make the others from it. Redis Cluster allows that within a slot (tried on 7.0), and a script that declared the
 * index too would be refused for an anonymous session, which has none, as long as its slot is on its way to another node.
 */
export const RECORD_HEAD = `
local ENDING = '${ENDING}'
local USED = '${USED}'

local function head(key)
  local text = redis.pcall('GETRANGE', key, 0, ${HEAD_CHARS + SCHEMA_CHARS - 1})
  if type(text) == 'table' and not string.find(text.err, 'WRONGTYPE', 1, true) then redis.call('GETRANGE', key, 0, 0) end
  if type(text) ~= 'string' then return nil end
  local form = string.match(text, '^sx(%d%d?%d?) ')
  if form and tonumber(form) > 1 then return {newer = true} end
  local version, status, owner, lastAccessed, expiresAt =
    string.match(text, '^sx1 (${VERSION}) ([aipr]) ([us]) (${TIME}) (${TIME})\\n')
  if not version then return nil end
  local schema = string.match(text, '^{"schema":(%d+)[,}]', ${HEAD_CHARS + 1})
  if schema and tonumber(schema) > ${SCHEMA} then return {newer = true} end
  return {
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

local function indexOf(record)
  return string.sub(record, 1, -44)
end

local function memberOf(record)
  return string.sub(record, -43)
end
`;

/** `isInTime(…)`: whether the clock of the server is between two instants. The wrapper of the scripts returns the time that it has seen. */
export const IN_TIME = `
local function isInTime(earliest, latest)
  local time = redis.call('TIME')
  serverTime = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  return serverTime >= tonumber(earliest) and serverTime <= tonumber(latest)
end
`;

/** Needs RECORD_HEAD. */
export const LIFETIME = `
-- The lifetime of a record whose expiry moves on: what is left of it by the server's clock, and the difference. A caller whose clock is
-- late so cannot stretch it, least of all beyond the absolute end.
local function lifetime(record, old, expiresAt, fallback)
  local left = redis.call('PTTL', record)
  if left < 0 then return tonumber(fallback) end
  return left + tonumber(expiresAt) - tonumber(old.expiresAt)
end
`;

/** `withRecords(…)`: adds the records of members to a list of keys. */
export const PARTS = `
local AT_ONCE = ${MEMBERS_AT_ONCE}

-- Adds the records of members to keys.
local function withRecords(keys, index, members)
  for _, member in ipairs(members) do keys[#keys + 1] = index .. member end
  return keys
end

-- Calls f with parts of a list: Lua passes some thousand arguments to a command and not more.
local function inParts(items, f)
  for from = 1, #items, AT_ONCE do f(unpack(items, from, math.min(from + AT_ONCE - 1, #items))) end
end
`;

/**
 * `torn(keys)`: whether the slot is on its way to another node and some of these keys may lie there. Without this check a script would take
 * them for missing, and drop living sessions from the index. Redis itself tells: an EXISTS of several keys is refused in such a slot unless
 * all of them are here. A script that finds its keys torn returns `MOVING` before it has written anything, which a client of the cluster
 * takes for the server's own TRYAGAIN: it sends the command again after a while, within the command's timeout. Only in a Cluster; the wrapper
 * of the scripts says whether it is one.
 *
 * Needs PARTS.
 */
export const TORN = `
local MOVING = inCluster and redis.error_reply('TRYAGAIN the keys of this user are on their way to another node')

local function torn(keys)
  if not inCluster then return false end
  local found = false
  inParts(keys, function(...)
    if type(redis.pcall('EXISTS', keys[1], ...)) == 'table' then found = true end
  end)
  return found
end
`;

/** `isListed(…)`: whether the index lists a session, by the letters of its status and owner, as in its head. */
export const IS_LISTED = `
local function isListed(letters)
  return string.sub(letters, 3, 3) == 'u' and string.sub(letters, 1, 1) ~= 'i'
end
`;

/**
 * `list(…)`: enters a session twice: its member scored by its expiry, and the same member behind USED scored by its lastAccessed, with a 1
 * before the digits, which puts it behind all expiries. So the index tells who has expired and who was not used for the longest time, ties
 * by id, without a look at the records, and ZCARD is twice the number of sessions, and one more for ENDING. The index outlives its
 * longest-lived session and goes with it.
 */
export const LIST = `
-- entries: how many the index is known to have. One that is there has a lifetime, which one command prolongs; Redis before 7 does not know
-- that command. A new one has none.
local function list(index, member, lastAccessed, expiresAt, ttl, entries)
  redis.call('ZADD', index, expiresAt, member, '1' .. lastAccessed, USED .. member)
  if entries == 0 then
    redis.call('PEXPIRE', index, ttl)
    return
  end
  if entries then
    local reply = redis.pcall('PEXPIRE', index, ttl, 'GT')
    if type(reply) ~= 'table' or not reply.err then return end
  end
  if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
`;

/** `membersOf(…)`: those of an index, in the order of their expiry. */
export const MEMBERS = `
local LAST_EXPIRY = '(1${'0'.repeat(TIME_CHARS)}'

-- At most so many members of an index, or all: those whose sessions expire first.
local function membersOf(index, most)
  return redis.call('ZRANGEBYSCORE', index, '0', LAST_EXPIRY, 'LIMIT', 0, most or -1)
end
`;

/** Takes sessions out of an index. Needs PARTS. */
export const UNLIST = `
local function unlist(index, members)
  local entries = {}
  for _, member in ipairs(members) do
    entries[#entries + 1] = member
    entries[#entries + 1] = USED .. member
  end
  inParts(entries, function(...) redis.call('ZREM', index, ...) end)
end
`;

/** Needs UNLIST. */
export const REMOVE = `
-- Removes records and their members.
local function remove(index, members)
  inParts(withRecords({}, index, members), function(...) redis.call('DEL', ...) end)
  unlist(index, members)
end
`;

/** Needs RECORD_HEAD. */
export const GONE = `
-- Members whose expiry has passed leave the index when their records are gone, not before: a renewal may be under way, or the caller's
-- clock be early. These are those whose records are gone, of at most AT_ONCE.
local function goneOf(index, members)
  local gone = {}
  for _, member in ipairs(members) do
    if not head(index .. member) then gone[#gone + 1] = member end
  end
  return gone
end
`;

export const IS_ENDING = `
-- Whether a log-out everywhere has moved an index away, and has not ended all of it. Its sessions live until then.
local function isEnding(index)
  return redis.call('ZSCORE', index, ENDING) and true or false
end
`;

/** Needs RECORD_HEAD. */
const ENDING_PART = `
-- What becomes of members, at most AT_ONCE, of a user who is logged out everywhere. Writes nothing.
local function endingPart(index, members, keep, now)
  local part = {leaving = {}, gone = {}, ended = {}}
  for _, member in ipairs(members) do
    local old = head(index .. member)
    if not old then
      part.gone[#part.gone + 1] = member
    elseif old.newer then
      part.newer = part.newer or member ~= keep
    elseif member ~= keep and old.owned and old.status ~= 'i' then
      part.leaving[#part.leaving + 1] = member
      if old.status == 'a' and tonumber(old.expiresAt) > now then part.ended[#part.ended + 1] = member end
    end
  end
  return part
end
`;

/** Behind the prefix of the keys, the channel on which the scripts tell which sessions have ended. */
export const ENDED_CHANNEL = 'ended';

/**
 * `notifyEnded(…)`: publishes which sessions of a user a script has ended: the tag and the members, with spaces between. To be called last, and only
 * where something has ended. Its failure, such as a missing right to the channel, is none of the script: others then look by themselves.
 */
export const NOTIFY_ENDED = `
local function notifyEnded(index, members)
  if #members == 0 then return end
  local prefix, tag = string.match(index, '^([^{]*){(.*)}$')
  redis.pcall('PUBLISH', prefix .. '${ENDED_CHANNEL}', tag .. ' ' .. table.concat(members, ' '))
end
`;

/** What both scripts of a log-out everywhere begin with. */
export const LOGOUT_PARTS = [
  RECORD_HEAD,
  PARTS,
  TORN,
  IS_ENDING,
  MEMBERS,
  UNLIST,
  REMOVE,
  ENDING_PART,
  NOTIFY_ENDED,
].join('');

/** Needs RECORD_HEAD and TORN. */
export const SURPLUS = `
local FIRST_USED = '1${'0'.repeat(TIME_CHARS)}'

-- Which sessions leave an index so that there are \`excess\` fewer of them: those that have expired by the caller's clock, then the least
-- recently used ones, but none of \`spared\`. Looks at no more records than that, and writes nothing. \`evicted\` are those of \`leaving\` that
-- have not expired, \`pending\` those that stay because their login is under way, \`gone\` the members without a record. excess: at most AT_ONCE.
local function surplus(index, spared, excess, now)
  local part = {leaving = {}, evicted = {}, pending = 0, gone = {}}
  local expired = redis.call('ZRANGEBYSCORE', index, '0', now, 'LIMIT', 0, excess + #spared)
  local used = redis.call('ZRANGEBYSCORE', index, FIRST_USED, '+inf', 'LIMIT', 0, excess + #spared + #expired)
  local candidates = {}
  local seen = {}
  for _, member in ipairs(spared) do seen[member] = true end
  for _, member in ipairs(expired) do
    if not seen[member] then candidates[#candidates + 1] = member end
    seen[member] = true
  end
  local expiredOnes = #candidates
  for _, entry in ipairs(used) do
    local member = string.sub(entry, #USED + 1)
    if not seen[member] then candidates[#candidates + 1] = member end
  end
  local last = math.min(excess, #candidates)
  if torn(withRecords({index}, index, {unpack(candidates, 1, last)})) then
    part.torn = true
    return part
  end
  for i = 1, last do
    local old = head(index .. candidates[i])
    if not old then
      part.gone[#part.gone + 1] = candidates[i]
    elseif old.newer then
      part.newer = true
    elseif old.status == 'p' and i > expiredOnes then
      part.pending = part.pending + 1
    else
      part.leaving[#part.leaving + 1] = candidates[i]
      if i > expiredOnes then part.evicted[#part.evicted + 1] = candidates[i] end
    end
  end
  return part
end
`;
