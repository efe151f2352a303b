/**
 * The time of the server that holds a key, which in a cluster is one of many.
 *
 * KEYS 1 any key of the slot
 *
 * Returns milliseconds since the epoch.
 */
export const SERVER_TIME = `
local time = redis.call('TIME')
return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`;
