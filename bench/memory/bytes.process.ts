// Says how many bytes of heap a session takes. Arguments: what holds the sessions, whose they are, how many.
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeRecord, MemoryBackend, type SessionRecord } from 'nestjs-sessionx';

import type { BytesMeasured, Holder } from './messages.js';
import { sessionMaker, type Layout } from './sessions.js';

const WARM_UP_SESSIONS = 2_000;

const [holder, layout, count] = process.argv.slice(2) as [Holder, Layout, string];
const sessions = Number(count);
const make = await sessionMaker(layout, Date.now());
// Compiled code and tables that the first sessions set up are not counted for any session.
await fill(newPlace(), WARM_UP_SESSIONS);

const before = await heapUsed();
const place = newPlace();
const payloadCharacters = await fill(place, sessions);
const after = await heapUsed();
if (place.size() !== sessions) throw new Error(`${place.size()} of ${sessions} sessions are held.`);
process.send?.({
  bytes: (after - before) / sessions,
  payloadCharacters: payloadCharacters / sessions,
} satisfies BytesMeasured);

interface Place {
  add(record: SessionRecord): unknown;
  size(): number;
}

function newPlace(): Place {
  return holder === 'map' ? plainMap() : memoryBackend();
}

function plainMap(): Place {
  const texts = new Map<string, string>();
  // Copies without a trace of what they were put together from: no string can take less.
  const flat = (text: string) => Buffer.from(text, 'latin1').toString('latin1');
  return { add: (record) => texts.set(flat(record.id), flat(encodeRecord(record))), size: () => texts.size };
}

function memoryBackend(): Place {
  const backend = new MemoryBackend({ maxRecords: sessions + WARM_UP_SESSIONS });
  let created = 0;
  return {
    add: async (record) => {
      if ((await backend.create(record, { timeoutMs: 1000 })).outcome === 'created') created++;
    },
    size: () => created,
  };
}

/** The characters of all payloads. */
async function fill(target: Place, total: number): Promise<number> {
  let characters = 0;
  for (let index = 0; index < total; index++) {
    const record = make(index);
    characters += record.payload.length;
    await target.add(record);
  }
  return characters;
}

async function heapUsed(): Promise<number> {
  for (let pass = 0; pass < 3; pass++) {
    globalThis.gc?.();
    await sleep(20);
  }
  return process.memoryUsage().heapUsed;
}
