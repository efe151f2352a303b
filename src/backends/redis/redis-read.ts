import { DamagedRecordError } from '../../records/record-errors.js';
import { decodeRecord, namesItself } from '../../records/record-text.js';
import type { ReadRecord } from '../../records/session-record.js';
import { storedText } from '../../records/stored-text.js';
import type { SessionId } from '../../tokens/session-secret.js';
import type { RedisLink } from './redis-link.js';
import { isRefused } from './redis-refusal.js';
import { isWrongType } from './redis-scripts.js';

/** Where a record is to be read. */
export interface RecordPlace {
  readonly link: RedisLink;
  readonly key: string;
}

/**
 * One GET, whose reply is accepted if it names the requested session.
 *
 * Redis replies in order and names no call, so that after one reply too many on a connection each call gets the reply to the call before it.
 * A record of another session shows that by its id. But *nothing* looks the same for all: read as "no session", the shifted nil of a session
 * that has ended would log out the next reader, who lives. So nothing, like everything else that does not name the session, is read a second
 * time by a script whose reply names its call. That costs a second round trip for a session that is not there, and none for one that is.
 *
 * If the second reply is another call's too, the connection is dropped (one of the application's is left), and the record is read on a fresh
 * one. If it is the right one, the connection is in step: then there is no such session, or the stored record itself is foreign or damaged.
 *
 * @param placeOf the place as of now: a link may be replaced
 */
export function readRecord(placeOf: (id: SessionId) => RecordPlace, id: SessionId): Promise<ReadRecord | null> {
  const { link, key } = placeOf(id);
  // Without `await`, as every request comes by here.
  return link.client.getBuffer(key).then(
    (reply: unknown) => {
      if (!Buffer.isBuffer(reply)) return readAgain(placeOf, link, id, reply);
      const text = storedText(reply);
      return namesItself(text, id) ? decodeRecord(id, text) : readAgain(placeOf, link, id, text);
    },
    (error: unknown) => {
      if (!isWrongType(error)) throw error;
      return readAgain(placeOf, link, id, undefined);
    },
  );
}

/**
 * Several records of one server: by one MGET. What does not name the requested session is read by itself, as above.
 *
 * @param placeOf as above
 */
export async function readRecords(
  placeOf: (id: SessionId) => RecordPlace,
  ids: readonly SessionId[],
): Promise<(ReadRecord | null)[]> {
  const [first] = ids;
  if (first === undefined) return [];
  const keys = ids.map((id) => placeOf(id).key);
  const texts = await textsOf(placeOf(first).link.client, keys);
  return Promise.all(
    ids.map(async (id, index) => {
      const text = texts?.[index];
      if (typeof text === 'string' && namesItself(text, id)) return decodeRecord(id, text);
      return texts === null ? readRecord(placeOf, id) : readAgain(placeOf, placeOf(id).link, id, text ?? null);
    }),
  );
}

/** @returns null where the user has no right to the command */
async function textsOf(client: RedisLink['client'], keys: string[]): Promise<readonly unknown[] | null> {
  try {
    const texts: unknown = await client.mget(keys);
    return Array.isArray(texts) ? texts : null;
  } catch (error) {
    if (isRefused(error)) return null;
    throw error;
  }
}

/** @param text the first reply; null: nothing; undefined: a value of another type. It may be anything: that of another call. */
async function readAgain(
  placeOf: (id: SessionId) => RecordPlace,
  link: RedisLink,
  id: SessionId,
  text: unknown,
): Promise<ReadRecord | null> {
  await link.renewal;
  const second = placeOf(id);
  try {
    return await readByScript(second, id);
  } catch (error) {
    // A service that only reads sessions may have no right to scripts.
    if (isRefused(error)) return decoded(id, text);
    if (second.link.renewal === undefined) throw error;
  }
  await second.link.renewal;
  return readByScript(placeOf(id), id);
}

async function readByScript({ link, key }: RecordPlace, id: SessionId): Promise<ReadRecord | null> {
  const [kind, text] = await link.scripts.sessionxRead(key);
  switch (kind) {
    case 'string':
      return decoded(id, text);
    case 'missing':
      return null;
    case 'foreign':
      return decoded(id, undefined);
    default:
      kind satisfies never;
      throw new Error('sessionxRead replied with something unknown');
  }
}

/** @param text undefined: a value of another type */
function decoded(id: SessionId, text: unknown): ReadRecord | null {
  if (text === null) return null;
  if (typeof text === 'string' || Buffer.isBuffer(text)) return decodeRecord(id, text);
  throw new DamagedRecordError('it is not a string');
}
