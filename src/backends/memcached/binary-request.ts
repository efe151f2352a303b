import { Utils, type Response } from 'memjs';
import { crc32 } from 'node:zlib';

/**
 * The commands that sessions need. `replace` and not `set`: a `set` that the server refuses (too large, out of memory) removes the value
 * that was there before. `getWithKey` and not `get`: its response says which key it belongs to.
 */
export const OPCODES = { add: 0x02, replace: 0x03, delete: 0x04, noop: 0x0a, getWithKey: 0x0c, touch: 0x1c } as const;

export const STATUS = { ok: 0x00, notFound: 0x01, exists: 0x02, tooLarge: 0x03, outOfMemory: 0x82 } as const;

const STATUSES: ReadonlySet<number> = new Set(Object.values(STATUS));

const RESPONSE_MAGIC = 0x81;
const CAS_OFFSET = 16;
const CAS_BYTES = 8;
const FLAGS_BYTES = 4;

/** A request of Memcached's binary protocol. */
export interface BinaryRequest {
  readonly opcode: (typeof OPCODES)[keyof typeof OPCODES];
  readonly key: string;
  readonly extras?: Buffer;
  readonly value?: string;
  /** Do it only to the item that was read with this. */
  readonly cas?: Buffer;
}

/**
 * The bytes of a request. This is all that memjs lacks: it uses the binary protocol but has no compare-and-set, so its own request is
 * taken and the CAS is put where the protocol has it. `Client.perform` then sends it, and matches the response, like any of memjs's own.
 *
 * @param sequence comes back in the response, by which memjs finds its request
 */
export function encodeRequest({ opcode, key, extras, value, cas }: BinaryRequest, sequence: number): Buffer {
  const request = Utils.makeRequestBuffer(opcode, key, extras ?? '', value ?? '', sequence);
  cas?.copy(request, CAS_OFFSET, 0, CAS_BYTES);
  return request;
}

/** Expiry, and as the item's flags the checksum of its value. */
export function storageExtras(value: string, expiry: number): Buffer {
  const extras = Buffer.alloc(8);
  extras.writeUInt32BE(checksum(value), 0);
  extras.writeUInt32BE(expiry, 4);
  return extras;
}

/** The expiry alone, as `touch` has it. */
export function touchExtras(expiry: number): Buffer {
  return Utils.makeExpiration(expiry);
}

/**
 * Whether `response` can be the response to `request`: memjs looks at the sequence number alone, which bytes out of step may hit. An item with
 * flags that are not 0 is one of ours, so that a value other than the one which was stored shows.
 */
export function isAnswerTo({ opcode, key }: BinaryRequest, { header, key: named, extras, val }: Response): boolean {
  if (header.magic !== RESPONSE_MAGIC || header.opcode !== opcode || !STATUSES.has(header.status)) return false;
  if (opcode !== OPCODES.getWithKey) return true;
  if (!named.equals(Buffer.from(key))) return false;
  if (header.status !== STATUS.ok) return true;
  const flags = extras.length === FLAGS_BYTES ? extras.readUInt32BE(0) : 0;
  return flags === 0 || flags === checksum(val);
}

/** Never 0, which is what other programs leave in the flags. */
function checksum(value: string | Buffer): number {
  return crc32(value) || 1;
}
