import type { Response } from 'memjs';
import { crc32 } from 'node:zlib';

/**
 * The commands that sessions need. `replace` and not `set`: a `set` that the server refuses (too large, out of memory) removes the value
 * that was there before. `getWithKey` and not `get`: its response says which key it belongs to.
 */
export const OPCODES = { add: 0x02, replace: 0x03, delete: 0x04, noop: 0x0a, getWithKey: 0x0c, touch: 0x1c } as const;

export const STATUS = { ok: 0x00, notFound: 0x01, exists: 0x02, tooLarge: 0x03, outOfMemory: 0x82 } as const;

const STATUSES: ReadonlySet<number> = new Set(Object.values(STATUS));

const REQUEST_MAGIC = 0x80;
const RESPONSE_MAGIC = 0x81;
const HEADER_BYTES = 24;
const CAS_OFFSET = 16;
const CAS_BYTES = 8;
const FLAGS_BYTES = 4;
const EXPIRY_BYTES = 4;

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
 * The bytes of requests that are sent together. memjs makes eight buffers for each request and has no compare-and-set.
 *
 * @param firstSequence comes back in the response to the first one, by which memjs finds its request; the others count on from it
 */
export function encodeRequests(requests: readonly BinaryRequest[], firstSequence: number): Buffer {
  let length = 0;
  for (const request of requests) length += HEADER_BYTES + bodyBytes(request);
  const bytes = Buffer.allocUnsafe(length);
  let sequence = firstSequence;
  let at = 0;
  for (const request of requests) at = writeRequest(bytes, at, request, sequence++);
  return bytes;
}

/** Keys are ASCII. */
function bodyBytes({ extras, key, value }: BinaryRequest): number {
  return (extras?.length ?? 0) + key.length + (value === undefined ? 0 : Buffer.byteLength(value));
}

/** @returns where the next request begins */
function writeRequest(bytes: Buffer, at: number, request: BinaryRequest, sequence: number): number {
  const { opcode, key, extras, value, cas } = request;
  const length = bodyBytes(request);
  bytes.fill(0, at, at + HEADER_BYTES);
  bytes[at] = REQUEST_MAGIC;
  bytes[at + 1] = opcode;
  bytes.writeUInt16BE(key.length, at + 2);
  bytes[at + 4] = extras?.length ?? 0;
  bytes.writeUInt32BE(length, at + 8);
  bytes.writeUInt32BE(sequence, at + 12);
  cas?.copy(bytes, at + CAS_OFFSET, 0, CAS_BYTES);
  const body = at + HEADER_BYTES;
  const keyAt = body + (extras?.copy(bytes, body) ?? 0);
  bytes.write(key, keyAt, 'latin1');
  if (value !== undefined) bytes.write(value, keyAt + key.length);
  return body + length;
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
  const extras = Buffer.alloc(EXPIRY_BYTES);
  extras.writeUInt32BE(expiry);
  return extras;
}

/**
 * Whether `response` can be the response to `request`: memjs looks at the sequence number alone, which bytes out of step may hit. An item with
 * flags that are not 0 is one of ours, so that a value other than the one which was stored shows.
 */
export function isResponseTo({ opcode, key }: BinaryRequest, { header, key: named, extras, val }: Response): boolean {
  if (header.magic !== RESPONSE_MAGIC || header.opcode !== opcode || !STATUSES.has(header.status)) return false;
  if (opcode !== OPCODES.getWithKey) return true;
  if (named.toString('latin1') !== key) return false;
  if (header.status !== STATUS.ok) return true;
  const flags = extras.length === FLAGS_BYTES ? extras.readUInt32BE(0) : 0;
  return flags === 0 || flags === checksum(val);
}

/** Never 0, which is what other programs leave in the flags. */
function checksum(value: string | Buffer): number {
  return crc32(value) || 1;
}
