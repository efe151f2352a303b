import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';

import { checksumFrom } from '../../src/records/checksum.js';
import { encodePayload } from '../../src/records/payload.js';
import { decodeRecord, encodeRecord, namesItself } from '../../src/records/record-text.js';
import type { SessionRecord } from '../../src/records/session-record.js';
import { decodePayload } from '../../src/records/stored-payload.js';
import { changesNothing } from '../../src/records/stored-session.js';
import { storedText } from '../../src/records/stored-text.js';
import type { SessionId } from '../../src/tokens/session-secret.js';

const id = ('A'.repeat(58) + 'A') as SessionId;
const NOW = 1_764_000_000_000;
const metadata = {
  createdAt: NOW,
  ttlMs: 60_000,
  absoluteExpiresAt: null,
  ipAddress: '::1',
  userAgent: 'Überall/1 😀',
  isRemembered: true,
  authenticatedAt: NOW - 5,
  authMethods: ['pwd', 'ключ'],
  idIssuedAt: NOW - 1,
  formerIds: [],
  lineage: null,
  deadId: null,
};
const content = {
  metadata,
  userText: JSON.stringify({ userId: 'дора', roles: ['ü'], permissions: [], metadata: {} }),
  data: { text: 'é😀\u2028'.repeat(4000), random: randomBytes(50).toString('latin1') },
  flash: [{ id: 'AAAAAAAAAAAA', message: 'čau', category: 'info', timestamp: NOW }],
  oneTime: [{ name: 'štát', value: '😀', expiresAt: NOW }],
};
const record: SessionRecord = {
  id,
  version: 1,
  status: 'active',
  userTag: null,
  lastAccessed: NOW,
  expiresAt: NOW + 60_000,
  payload: encodePayload(id, content),
};

describe('a record in bytes', () => {
  const bytes = Buffer.from(encodeRecord(record));

  it('stays in bytes if it is large, and is the same session as its text', () => {
    const stored = storedText(bytes);
    expect(stored).toBe(bytes);
    expect(namesItself(stored, id)).toBe(true);
    const read = decodeRecord(id, stored);
    expect(Buffer.isBuffer(read.payload)).toBe(true);
    expect({ ...read, payload: String(read.payload) }).toEqual(record);
    const [payload, ofText] = [decodePayload(read), decodePayload(record)];
    for (const part of ['userText', 'user', 'dataText', 'data', 'flash', 'oneTime', 'isAnonymous'] as const) {
      expect(payload[part]).toEqual(ofText[part]);
    }
    expect(payload.readLogin()).toEqual(ofText.readLogin());
    expect(payload.metadata).toMatchObject({ createdAt: NOW, ttlMs: 60_000, absoluteExpiresAt: null });
    expect(payload.unread().data).toEqual(content.data);
  });

  it('is known to be the same as its text, so that what has not changed is not written again', () => {
    const read = decodeRecord(id, storedText(bytes));
    expect(changesNothing(record, read)).toBe(true);
    expect(changesNothing({ ...record, payload: encodePayload(id, { ...content, data: {} }) }, read)).toBe(false);
  });

  it('is a text at once if it is small', () => {
    expect(storedText(Buffer.from('čau'))).toBe('čau');
  });

  it('has the checksum of its text', () => {
    expect(checksumFrom(bytes, 0)).toBe(checksumFrom(bytes.toString(), 0));
  });
});
