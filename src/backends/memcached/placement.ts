import { hash } from 'node:crypto';

import type { UserTag } from '../../tokens/session-secret.js';

/** A server, and the number that stands for it. */
interface Candidate<Server> {
  readonly server: Server;
  readonly seed: number;
}

/**
 * Which server has a user's items: the one with the highest score for the user's tag (rendezvous hashing). One that is added or taken away
 * moves its own share of the users and no others; the order in which the servers are named means nothing.
 */
export class Placement<Server> {
  readonly #candidates: readonly Candidate<Server>[];

  constructor(servers: readonly Server[], nameOf: (server: Server) => string) {
    this.#candidates = servers.map((server) => ({ server, seed: firstWord(nameOf(server)) }));
  }

  of(tag: UserTag): Server {
    const [first, ...others] = this.#candidates;
    if (first === undefined) throw new TypeError('There is no server to choose from.');
    if (others.length === 0) return first.server;
    // A tag is random or a HMAC, so that any 32 bits of it will do.
    const word = Buffer.from(tag, 'base64url').readUInt32BE(0);
    let best = first;
    for (const candidate of others) {
      if (mix(candidate.seed ^ word) > mix(best.seed ^ word)) best = candidate;
    }
    return best.server;
  }
}

function firstWord(name: string): number {
  return parseInt(hash('sha256', name, 'hex').slice(0, 8), 16);
}

/** The finalizer of MurmurHash3: each bit of the input changes half of the bits of the output. */
function mix(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
