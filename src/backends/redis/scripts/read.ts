/**
 * Reads a record once more, in a reply that names its call: see `RedisScripts`.
 *
 * KEYS 1 the record
 *
 * Returns an array: 'string' and the text, 'missing', or 'foreign' for a value of another type.
 */
export const READ = `
local text = redis.pcall('GET', KEYS[1])
if type(text) == 'string' then return {'string', text} end
if text and text.err then
  if string.find(text.err, 'WRONGTYPE', 1, true) then return {'foreign'} end
  return redis.error_reply(text.err)
end
return {'missing'}
`;
