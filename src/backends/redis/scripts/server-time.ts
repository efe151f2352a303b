import { IN_TIME } from './script-parts.js';

/**
 * Asks for the time of the server that holds a key, which in a cluster is one of many. The reply brings it, as that of every script which looks
 * at the clock.
 *
 * KEYS 1 any key of the slot
 *
 * Returns 'ok'.
 */
export const SERVER_TIME = `${IN_TIME}isInTime(0, 0)
return 'ok'
`;
