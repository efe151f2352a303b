import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Buffer } from 'node:buffer';
import { PassThrough, type Writable } from 'node:stream';
import { text } from 'node:stream/consumers';

import { JoinedWrites } from '../../src/backends/redis/joined-writes.js';

describe('texts that are written to one stream in a turn', () => {
  let stream: PassThrough;
  let writes: JoinedWrites;
  let chunks: string[];
  let errors: unknown[];

  beforeEach(() => {
    chunks = [];
    errors = [];
    stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
    stream.on('error', (error) => errors.push(error));
    writes = JoinedWrites.to(stream);
  });

  afterEach(() => {
    expect(errors).toEqual([]);
  });

  it('are written as one, in their order', () => {
    writes.hold();
    stream.write('a');
    stream.write('ä');
    stream.write('€');
    expect(chunks).toEqual([]);
    writes.release();
    expect(chunks).toEqual(['aä€']);
  });

  it('are written at once outside of it', () => {
    stream.write('a');
    writes.hold();
    writes.release();
    stream.write('b');
    expect(chunks).toEqual(['a', 'b']);
  });

  it.each<[string, (stream: Writable, written: () => void) => unknown]>([
    ['bytes', (target) => target.write(Buffer.from('-'))],
    ['a text with an encoding', (target) => target.write('2d', 'hex')],
    ['a text with a callback', (target, written) => target.write('-', written)],
    ['a text with no encoding and a callback', (target, written) => target.write('-', undefined as never, written)],
    ['a text with both', (target, written) => target.write('2d', 'hex', written)],
  ])('keep their place before and after %s', async (name, write) => {
    writes.hold();
    stream.write('a');
    const written = new Promise<void>((resolve) => {
      write(stream, resolve);
      if (!name.includes('callback') && !name.includes('both')) resolve();
    });
    stream.write('b');
    stream.write('c');
    writes.release();
    await written;
    expect(chunks).toEqual(['a', '-', 'bc']);
  });

  it.each<[string, (stream: Writable) => unknown]>([
    ['nothing', (target) => target.end()],
    ['a last text', (target) => target.end('z')],
  ])('go out before an end with %s in the same turn', async (_, end) => {
    writes.hold();
    stream.write('a');
    stream.write('b');
    const ended = new Promise((resolve) => stream.once('end', resolve));
    end(stream);
    writes.release();
    await ended;
    expect(chunks.join('')).toMatch(/^abz?$/);
  });

  it('are dropped when the stream is destroyed, without another error', async () => {
    writes.hold();
    stream.write('a');
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.destroy();
    writes.release();
    await closed;
    expect(chunks).toEqual([]);
  });

  it('are joined once, whoever holds them', () => {
    const others = JoinedWrites.to(stream);
    expect(others).toBe(writes);
    writes.hold();
    others.hold();
    stream.write('a');
    writes.release();
    stream.write('b');
    others.release();
    expect(chunks).toEqual(['a', 'b']);
  });

  it('tell their writer when the stream is full', async () => {
    const full = new PassThrough({ highWaterMark: 1 });
    const held = JoinedWrites.to(full);
    expect(full.write('ab')).toBe(false);
    held.hold();
    expect(full.write('c')).toBe(false);
    held.release();
    full.end();
    expect(await text(full)).toBe('abc');
  });
});
