import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Logger, UseGuards } from '@nestjs/common';
import {
  CurrentSession,
  DamagedRecordError,
  decodeRecord,
  encodeRecord,
  MemoryBackend,
  Session,
  SessionGuard,
  SessionNotFoundError,
  type SessionId,
} from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { PLATFORMS, startApp } from '../support/apps.js';
import { resealed } from '../support/checksums.js';
import { rawMemcached, rawMemory, rawRedis, rawStores } from '../support/raw-stores.js';
import { startService, type ServiceUnderTest } from '../support/services.js';

type Damage = (text: string) => string | Buffer;

const [USER, CLIENT, FLASH, ONE_TIME, DATA] = [1, 2, 3, 4, 5];
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

/** Puts `json` in the place of a line of the payload. The head of the record is the first line of all. */
const withLine =
  (line: number, json: string) =>
  (text: string): string =>
    text
      .split('\n')
      .map((old, index) => (index === line + 1 ? json : old))
      .join('\n');

/** With a correct checksum: the damage is found by the later checks. */
const withChecksum =
  (damage: (text: string) => string): Damage =>
  (text) =>
    resealed(damage(text));

/** Puts `number` in the place of a time of the payload's first line, at its width, with a checksum that fits. */
const withTime = (name: string, number: string): Damage =>
  withChecksum((text) =>
    text.replace(new RegExp(`("${name}":)(.{14})`), (_all, before: string) => before + number.padStart(14)),
  );

const user = (fields: string) => `{"userId":"ann","roles":[],"permissions":[],"metadata":{},${fields}}`;
const flash = (fields: string) => `[{"id":"AAAAAAAAAAAA","message":"m","category":"info","timestamp":1,${fields}}]`;

const oneTime = (fields: string) => `[{"name":"state","value":1,"expiresAt":9999999999999,${fields}}]`;

const client = (fields: string) => `{"ipAddress":null,"userAgent":null,${fields}}`;

const payloads: [what: string, damage: Damage][] = [
  ['cut off', (text) => text.slice(0, -20)],
  ['cut off behind a line', (text) => text.slice(0, text.lastIndexOf('\n'))],
  ['of JSON that is not ours', (text) => text.replace(/\n[^]*/, '\nnull\nnull\n{}\n[]\n[]')],
  ['with a line too many', (text) => `${text}\n{}`],
  ['with a NUL byte', (text) => text.replace('the content', 'the \0 content')],
  ['with a byte that is not UTF-8', (text) => splice(text, 'the content', Buffer.from([0x63, 0x61, 0x66, 0xe9]))],
  ['with a character that is cut', (text) => splice(text, 'the content', Buffer.from('😀').subarray(0, 2))],
  ['with one character for another', (text) => text.replace('the content', 'the contend')],
  ['with one character for another before its checksum', (text) => text.replace('"crc32":', '"crc33":')],
  ['with a time that is another', (text) => text.replace(/("createdAt": )1/, '$12')],
  ['with another checksum', (text) => text.replace(/("crc32": *)\d/, '$10')],
  ['with a checksum that is none', (text) => text.replace(/("crc32": *)\d/, '$1x')],
  ['with a checksum of spaces', (text) => text.replace(/("crc32":)[ \d]{10}/, '$1          ')],
  ['of schema 0', (text) => text.replace('"schema":1', '"schema":0')],
  ['of a schema that is no whole number', (text) => text.replace('"schema":1', '"schema":1.5')],
  ['of a schema beyond all numbers', (text) => text.replace('"schema":1', '"schema":1e999')],
  ['cut off behind a line, with the checksum of that', withChecksum((text) => text.slice(0, text.lastIndexOf('\n')))],
  ['without its lines, with the checksum of that', withChecksum((text) => text.slice(0, text.indexOf('}\n') + 1))],
  ['made before time began', withTime('createdAt', '-1')],
  ['made at no time', withTime('createdAt', '')],
  ['made at a time with a point', withTime('createdAt', '17641.08597')],
  ['with a lifetime of nothing', withTime('ttlMs', '0')],
  ['with a negative lifetime', withTime('ttlMs', '-3600000')],
  ['with a lifetime without end', withTime('ttlMs', '1e999')],
  ['with a lifetime of a thousand years', withTime('ttlMs', '31536000000000')],
  ['with an absolute end that is a text', withTime('absoluteExpiresAt', '"never"')],
  ['with an absolute end before time began', withTime('absoluteExpiresAt', '-1')],
  ['whose user is gone', withChecksum(withLine(USER, 'null'))],
  ['whose version cannot be counted up', (text) => text.replace(/^sx1 \d{10}/, 'sx1 9999999999')],
  ['that no index lists though it has a user', (text) => text.replace(/^(sx1 \d{10} a) u/, '$1 s')],
];

/** All of these with a checksum that fits. */
const users: [what: string, json: string][] = [
  ['that is none', '{"userId":7}'],
  ['that is no JSON', '{"userId":"ann",}'],
  ['that is null behind a space', ' null'],
  ['with an id that is empty', user('"userId":""')],
  ['with an id that is too long', user(`"userId":"${'x'.repeat(513)}"`)],
  ['with half a character for an id', user('"userId":"\\ud800"')],
  ['with roles that are no strings', user('"roles":[7]')],
  ['with permissions that are no list', user('"permissions":"all"')],
  ['with metadata that is a list', user('"metadata":[]')],
  ['with __proto__', user('"__proto__":{"admin":true}')],
  ['of more than 100 levels', user(`"deep":${nested(100)}`)],
  ['of 50,000 levels', user(`"deep":${nested(50_000)}`)],
  ['that counts to infinity', user('"credit":1e999')],
];

const data: [what: string, json: string][] = [
  ['that is a list', '[]'],
  ['that is a number', '7'],
  ['that is null', 'null'],
  ['that is nothing', ''],
  ['of more than 100 levels', `{"deep":${nested(100)}}`],
  ['of 50,000 levels', `{"deep":${nested(50_000)}}`],
  ['with __proto__', '{"a":[{"__proto__":{"admin":true}}]}'],
  ['with an escaped __proto__', '{"\\u005f_proto__":{"admin":true}}'],
  ['with a number beyond all numbers', '{"price":-1e999}'],
  ['with an array that has a trailing comma', '{"a":[1,]}'],
  ['with a second line', '{}\n{}'],
];

const messages: [what: string, json: string][] = [
  ['that are none', '[1]'],
  ['that are no list', '{}'],
  ['of a broken time', flash('"timestamp":1e300')],
  ['of no time', flash('"timestamp":null')],
  ['that go too deep', flash(`"more":${nested(50_000)}`)],
  ['with an id that is a number', flash('"id":7')],
  ['without a text', flash('"message":null')],
  ['of a category that is a list', flash('"category":[]')],
];

const oneTimeValues: [what: string, json: string][] = [
  ['that are none', '[1]'],
  ['that are no list', '{}'],
  ['that are nothing', ''],
  ['without a name', '[{"value":1,"expiresAt":1}]'],
  ['with a name that is a number', oneTime('"name":7')],
  ['without a value', '[{"name":"state","expiresAt":1}]'],
  ['of a broken time', oneTime('"expiresAt":1e300')],
  ['of no time', oneTime('"expiresAt":null')],
  ['with __proto__', oneTime('"value":{"__proto__":{"admin":true}}')],
  ['with a number beyond all numbers', oneTime('"value":1e999')],
  ['that go too deep', oneTime(`"value":${nested(50_000)}`)],
];

const clients: [what: string, json: string][] = [
  ['with an address that is a number', client('"ipAddress":127')],
  ['with a User-Agent that is a list', client('"userAgent":[]')],
  ['that is remembered by a text', client('"remembered":"yes"')],
  ['with an authentication at no time', client('"authenticatedAt":-1')],
  ['with authentication methods that are no list', client('"authMethods":"pwd"')],
  ['with an authentication method that is no text', client('"authMethods":[7]')],
  ['with an id from no time', client('"idIssuedAt":-1')],
  ['with former ids that are none', client('"formerIds":[7]')],
  ['with a former id that fits for ever', client('"formerIds":[{"id":"x","until":1e300}]')],
  ['with a lineage that is a number', client('"lineage":7')],
  ['with a dead id that is a number', client('"deadId":7')],
  ['that is a list', '[]'],
  ['that is no JSON', '{'],
];

/** These are in stores of texts alone. */
const texts: [what: string, damage: Damage][] = [
  ['empty', () => ''],
  ['of another program', () => '{"cookie":{},"user":1}'],
  ['cut off in the head', (text) => text.slice(0, 30)],
  ['binary', () => Buffer.from([0, 1, 0xff, 0xfe, 0])],
  ['with letters for times', () => `sx1 0000000001 a u ${'x'.repeat(14)} ${'y'.repeat(14)}\n{}`],
  ['with a minus before a time', (text) => text.replace(/ u \d/, ' u -')],
  ['of an unknown status', (text) => text.replace(/^(sx1 \d{10}) a/, '$1 z')],
];

function splice(text: string, old: string, bytes: Buffer): Buffer {
  const [before = '', after = ''] = text.split(old);
  return Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]);
}

/** A payload of this size stays in bytes where Redis is read. */
const LARGE = { secret: 'the content', more: 'é'.repeat(10_000) };
const cases = [
  ...rawStores().map((store) => ({ name: store.name, store, content: { secret: 'the content' } })),
  { name: 'redis, large ones', store: rawRedis(), content: LARGE },
];

describe.each(cases)('foreign and damaged records are no session, on $name', ({ store, content }) => {
  let service: ServiceUnderTest;
  let warn: jest.SpiedFunction<Logger['warn']>;

  beforeAll(async () => {
    await store.start();
    service = await startService(store.another());
  });

  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });

  afterEach(() => warn.mockRestore());

  afterAll(async () => {
    await service.close();
    await store.stop();
  });

  async function newSession() {
    const { session, token } = await service.sessions.createSession({
      user: { userId: 'ann' },
      data: content,
    });
    return { id: session.sessionId, token };
  }

  async function damaged(damage: Damage) {
    const { id, token } = await newSession();
    await store.write(id, damage(await store.read(id)));
    return { id, token };
  }

  /** At each use, and whatever the use; and said once. */
  async function expectAbsent(token: string, id: SessionId): Promise<void> {
    const { sessions } = service;
    const other = await newSession();
    const listed = async () => (await sessions.listUserSessions('ann')).map(({ sessionId }) => sessionId);
    expect(await listed()).toEqual([other.id]);
    await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    await expect(sessions.renewSession(token)).rejects.toThrow(SessionNotFoundError);
    await expect(sessions.update(id, () => undefined)).rejects.toThrow(SessionNotFoundError);
    expect(await listed()).toEqual([other.id]);
    expect(warn.mock.calls).toEqual([[expect.stringContaining(id)]]);
    expect(String(warn.mock.calls[0]?.[0])).not.toContain('the content');

    await sessions.deleteUserSessions('ann');
    expect(await listed()).toEqual([]);
    await expect(sessions.getSession(other.token)).rejects.toThrow(SessionNotFoundError);
    expect(warn).toHaveBeenCalledTimes(1);
  }

  it.each(store.keepsTexts ? [...payloads, ...texts] : payloads)('one %s', async (_what, damage) => {
    const { id, token } = await damaged(damage);
    await expectAbsent(token, id);
  });

  describe('one with a checksum that fits JSON that is not ours', () => {
    it.each(users)('is no session: with a user %s', async (_what, json) => {
      const { id, token } = await damaged(withChecksum(withLine(USER, json)));
      await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      await expectOneWarning(id);
    });

    it.each(data)('is a session until its data is read: with data %s', async (_what, json) => {
      const { id, token } = await damaged(withChecksum(withLine(DATA, json)));
      const session = await service.sessions.getSession(token);
      expect(session.user?.userId).toBe('ann');
      expect(() => session.data).toThrow(SessionNotFoundError);
      expect(() => session.data).toThrow(SessionNotFoundError);
      await expect(service.sessions.update(id, ({ data }) => void (data.a = 1))).rejects.toThrow(SessionNotFoundError);
      await expectOneWarning(id);
    });

    it.each(messages)('is a session until its messages are read: with messages %s', async (_what, json) => {
      const { id, token } = await damaged(withChecksum(withLine(FLASH, json)));
      const session = await service.sessions.getSession(token);
      expect(session.data).toEqual(content);
      expect(() => session.getFlashMessages()).toThrow(SessionNotFoundError);
      await expect(service.sessions.takeFlash(session)).rejects.toThrow(SessionNotFoundError);
      await expectOneWarning(id);
    });

    it.each(oneTimeValues)(
      'is a session until its one-time values are read: with one-time values %s',
      async (_what, json) => {
        const { id, token } = await damaged(withChecksum(withLine(ONE_TIME, json)));
        const session = await service.sessions.getSession(token);
        expect(session.data).toEqual(content);
        const { oneTime: values } = service.sessions;
        await expect(values.consume(session, 'state')).rejects.toThrow(SessionNotFoundError);
        const again = await service.sessions.getSession(token);
        await expect(values.put(again, 'state', 1)).rejects.toThrow(SessionNotFoundError);
        await expect(service.sessions.update(id, ({ data }) => void (data.a = 1))).rejects.toThrow(
          SessionNotFoundError,
        );
        await expectOneWarning(id);
      },
    );

    it.each(clients)('is a session until its client is asked for: with a client %s', async (_what, json) => {
      const { id, token } = await damaged(withChecksum(withLine(CLIENT, json)));
      const session = await service.sessions.getSession(token);
      expect(() => session.ipAddress).toThrow(SessionNotFoundError);
      expect(() => session.userAgent).toThrow(SessionNotFoundError);
      const other = await newSession();
      expect((await service.sessions.listUserSessions('ann')).map(({ sessionId }) => sessionId)).toEqual([other.id]);
      await expectOneWarning(id);
    });

    /** It stays in the index, so the user can end it. */
    async function expectOneWarning(id: SessionId): Promise<void> {
      expect(warn.mock.calls).toEqual([[expect.stringContaining(id)]]);
      expect(String(warn.mock.calls[0]?.[0])).not.toContain('the content');
      expect(await service.sessions.deleteUserSessions('ann')).toBeGreaterThan(0);
      expect(await service.sessions.listUserSessions('ann')).toEqual([]);
    }
  });

  it("another session's in its place: nobody gets another user's session", async () => {
    const victim = await service.sessions.createSession({ user: { userId: 'victim' } });
    const foreign = await store.read(victim.session.sessionId);
    const { id, token } = await damaged(() => foreign);
    await expectAbsent(token, id);
  });

  it.each(['of another user', 'of no session', 'of itself'])(
    'an alias that leads to the id %s leads nowhere',
    async (whose) => {
      const { sessions } = service;
      const victim = await sessions.createSession({ user: { userId: 'victim' } });
      const { id, token } = await newSession();
      const { session: fresh } = await sessions.regenerateSessionId(await sessions.getSession(token), { grace: 10 });
      const target = { 'of another user': victim.session.sessionId, 'of no session': 'x', 'of itself': id }[whose]!;
      const alias = await store.read(id);
      await store.write(id, resealed(alias.replace(`"successor":"${fresh.sessionId}"`, `"successor":"${target}"`)));
      expect(await store.read(id)).not.toBe(alias);
      await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      expect(await sessions.deleteSession(id)).toBe(false);
      expect((await sessions.getSession(victim.token)).user?.userId).toBe('victim');
      expect(await sessions.deleteUserSessions('ann')).toBe(1);
    },
  );

  it('an alias whose content turns out not to be ours leads nowhere', async () => {
    const { sessions } = service;
    const { id, token } = await newSession();
    const held = await sessions.getSession(token);
    await sessions.regenerateSessionId(await sessions.getSession(token), { grace: 10 });
    const alias = await store.read(id);
    await store.write(id, resealed(alias.replace(/\{"successor":.*?\}/, '[]')));
    expect(await store.read(id)).not.toBe(alias);
    await expect(sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    expect(await sessions.deleteSession(id)).toBe(false);
    expect(await sessions.deleteSession(held)).toBe(false);
    expect(await sessions.deleteUserSessions('ann')).toBe(1);
  });

  it('one of a newer schema is a 503, neither read nor overwritten nor deleted', async () => {
    const { id, token } = await damaged((text) => text.replace('{"schema":1,', '{"schema":2,"more":true,'));
    const before = await store.read(id);
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({
      code: 'BACKEND_RECORD_NEWER',
      status: 503,
    });
    await expect(service.sessions.update(id, () => undefined)).rejects.toMatchObject({ status: 503 });
    expect(await store.read(id)).toBe(before);
    await store.write(id, before.replace('{"schema":2,"more":true,', '{"schema":1,'));
    expect(await service.sessions.deleteSession(id)).toBe(true);
  });

  it('one that holds odd but good JSON is a session, and can be written back', async () => {
    const odd = '{ "twice": 1, "twice": 2, "big": 12345678901234567890, "small": 1e-999, "zero": -0, "": null }';
    const { id, token } = await damaged(withChecksum(withLine(DATA, odd)));
    expect((await service.sessions.getSession(token)).data).toEqual({
      twice: 2,
      big: Number('12345678901234567890'),
      small: 0,
      zero: -0,
      '': null,
    });
    const session = await service.sessions.getSession(token);
    session.data.more = true;
    await service.sessions.updateSession(session);
    await service.sessions.update(id, (current) => void (current.data.more = 2));
    expect((await service.sessions.getSession(token)).data.more).toBe(2);
    expect(warn).not.toHaveBeenCalled();
    await service.sessions.deleteUserSessions('ann');
  });

  it('the character that stands for broken bytes is kept where somebody has written it', async () => {
    const { session, token } = await service.sessions.createSession({ data: { odd: 'a \ufffd b' } });
    session.data.more = '\ufffd';
    await service.sessions.updateSession(session);
    expect((await service.sessions.getSession(token)).data).toEqual({ odd: 'a \ufffd b', more: '\ufffd' });
    expect(warn).not.toHaveBeenCalled();
  });

  it('is said of each once, of the thousand that were met last', async () => {
    const tokens: string[] = [];
    for (let count = 0; count < 1_001; count++) {
      const { session, token } = await service.sessions.createSession();
      await store.write(session.sessionId, withLine(DATA, '[]')(await store.read(session.sessionId)));
      tokens.push(token);
    }
    for (const token of [...tokens, tokens.at(-1)!, tokens[1]!]) {
      const error: unknown = await service.sessions.getSession(token).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(SessionNotFoundError);
    }
    expect(warn).toHaveBeenCalledTimes(1_001);
    for (const token of [tokens[0]!, tokens[1]!]) {
      await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    }
    expect(warn).toHaveBeenCalledTimes(1_002);
  });
});

it('a damaged record that cannot be read a second time is a 503, as nothing is known of it', async () => {
  const backend = new MemoryBackend();
  const service = await startService(backend);
  const { token } = await service.sessions.createSession();
  jest
    .spyOn(backend, 'read')
    .mockRejectedValueOnce(new DamagedRecordError('it is cut off'))
    .mockRejectedValueOnce(new Error('the store is out of order'));
  await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE', status: 503 });
  await service.close();
});

describe('foreign and damaged records in Redis', () => {
  it('are no session either where they are of another type, and stay', async () => {
    const store = rawRedis();
    await store.start();
    const service = await startService(store.another());
    const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    await store.writeHash(session.sessionId);
    await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
    await expect(service.sessions.update(session.sessionId, () => undefined)).rejects.toThrow(SessionNotFoundError);
    expect(await service.sessions.listUserSessions('ann')).toEqual([]);
    expect(await store.typeOf(session.sessionId)).toBe('hash');
    await service.close();
    await store.stop();
  });

  it('are a 503 where their head is of a newer form', async () => {
    const store = rawRedis();
    await store.start();
    const service = await startService(store.another());
    const { session, token } = await service.sessions.createSession();
    await store.write(session.sessionId, (await store.read(session.sessionId)).replace('sx1 ', 'sx2 '));
    await expect(service.sessions.getSession(token)).rejects.toMatchObject({ code: 'BACKEND_RECORD_NEWER' });
    await service.close();
    await store.stop();
  });
});

describe.each(PLATFORMS)('a session whose data turns out not to be ours, on %s', (platform) => {
  it('is a 401 where the data is read, with one warning, and serves those who do not read it', async () => {
    @Controller()
    @UseGuards(SessionGuard)
    class ReadingController {
      @Get('user')
      user(@CurrentSession() session: Session) {
        return session.user?.userId;
      }

      @Get('data')
      data(@CurrentSession() session: Session) {
        return session.data;
      }
    }
    const store = rawMemory();
    const app = await startApp({ platform, controllers: [ReadingController], session: { backend: store.another() } });
    const { session, headers } = await logIn(app.app, { userId: 'ann' });
    const { sessionId } = session;
    await store.write(sessionId, resealed(withLine(DATA, '{"a":[1,]}')(await store.read(sessionId))));
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    for (let count = 0; count < 2; count++) {
      expect((await app.fetch('/data', { headers })).status).toBe(401);
      expect((await app.fetch('/user', { headers })).status).toBe(200);
    }
    expect(warn.mock.calls).toEqual([[expect.stringContaining(sessionId)]]);
    warn.mockRestore();
    await app.close();
  });

  it('is a 401 with one warning too where they are first read to store a change', async () => {
    const store = rawMemory();
    const service = await startService(store.another());
    const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    const { sessionId } = session;
    await store.write(sessionId, resealed(withLine(FLASH, '[1]')(await store.read(sessionId))));
    const held = await service.sessions.getSession(token);
    held.data.seen = true;
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await expect(service.sessions.updateSession(held)).rejects.toMatchObject({ status: 401 });
    expect(warn.mock.calls).toEqual([[expect.stringContaining(sessionId)]]);
    warn.mockRestore();
    await service.close();
  });
});

describe('a list of Memcached that is damaged', () => {
  it('ends the sessions of its user, each with one warning, and lets the user log in again', async () => {
    const store = rawMemcached();
    await store.start();
    const service = await startService(store.another());
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const { session, token } = await service.sessions.createSession({ user: { userId: 'ann' } });
    const list = session.sessionId.slice(0, 16);
    await store.write(list as SessionId, 'garbage');
    for (let count = 0; count < 3; count++) {
      await expect(service.sessions.getSession(token)).rejects.toThrow(SessionNotFoundError);
      expect(await service.sessions.listUserSessions('ann')).toEqual([]);
    }
    expect(warn.mock.calls).toEqual([[expect.stringContaining(session.sessionId)]]);
    const again = await service.sessions.createSession({ user: { userId: 'ann' } });
    expect((await service.sessions.getSession(again.token)).user?.userId).toBe('ann');
    await service.close();
    await store.stop();
    warn.mockRestore();
  });
});

describe('the text of a record', () => {
  it('begins with a head of fixed width', async () => {
    const memory = rawMemory();
    const service = await startService(memory.another());
    const { session } = await service.sessions.createSession();
    const text = await memory.read(session.sessionId);
    expect(text).toMatch(/^sx1 0000000001 a s \d{14} \d{14}\n\{"schema":1,/);
    expect(encodeRecord(decodeRecord(session.sessionId, text))).toBe(text);
    await service.close();
  });
});
