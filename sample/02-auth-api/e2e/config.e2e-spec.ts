import { describe, expect, it } from '@jest/globals';
import { MemoryBackend } from 'nestjs-sessionx';
import { MemcachedBackend } from 'nestjs-sessionx/memcached';
import { RedisBackend } from 'nestjs-sessionx/redis';

import { readConfig } from '../src/config.js';

const SESSION_SECRET = 'a key of these tests only, 0123456789abcdef';

class Warnings {
  readonly lines: string[] = [];

  warn(line: string): void {
    this.lines.push(line);
  }
}

describe('the configuration of 02-auth-api', () => {
  it('listens on port 3000 of this machine only, with sessions in memory, when nothing is set', () => {
    const config = readConfig({}, new Warnings());

    expect(config).toMatchObject({ production: false, port: 3000, sessionTtl: 3600, trustProxy: undefined });
    expect(config.host).toBe('127.0.0.1');
    expect(config.backend).toBeInstanceOf(MemoryBackend);
  });

  it('takes a variable that is empty for one that is not set', () => {
    const unset = { PORT: '', HOST: '', REDIS_URL: '', MEMCACHED_SERVERS: '', TRUST_PROXY: '' };
    const config = readConfig({ ...unset, SESSION_SECRET }, new Warnings());

    expect(config).toMatchObject({ port: 3000, host: '127.0.0.1', trustProxy: undefined });
    expect(config.backend).toBeInstanceOf(MemoryBackend);
  });

  it('keeps sessions in Redis when REDIS_URL is set', () => {
    const { backend } = readConfig({ SESSION_SECRET, REDIS_URL: 'redis://127.0.0.1:6379' });

    expect(backend).toBeInstanceOf(RedisBackend);
  });

  it('keeps sessions in Memcached when MEMCACHED_SERVERS is set', () => {
    const { backend } = readConfig({ SESSION_SECRET, MEMCACHED_SERVERS: '127.0.0.1:11211,127.0.0.1:11212' });

    expect(backend).toBeInstanceOf(MemcachedBackend);
  });

  it('keeps sessions in Redis when both are set, and says once that Memcached is not used', () => {
    const warnings = new Warnings();

    const env = { SESSION_SECRET, REDIS_URL: 'redis://127.0.0.1:6379', MEMCACHED_SERVERS: '127.0.0.1:11211' };
    const { backend } = readConfig(env, warnings);

    expect(backend).toBeInstanceOf(RedisBackend);
    expect(warnings.lines).toEqual([expect.stringContaining('Memcached is not used')]);
  });

  it('makes a key of its own without SESSION_SECRET, and says once what that means', () => {
    const warnings = new Warnings();

    const first = readConfig({}, warnings);
    const second = readConfig({}, new Warnings());

    expect(first.secretKey).not.toBe(second.secretKey);
    expect(warnings.lines).toEqual([expect.stringContaining('all sessions end with this process')]);
  });

  it.each([undefined, ''])('refuses to start in production when SESSION_SECRET is %p', (secret) => {
    expect(() => readConfig({ NODE_ENV: 'production', SESSION_SECRET: secret })).toThrow('SESSION_SECRET is not set');
  });

  it('starts in production with a secret, and says nothing', () => {
    const warnings = new Warnings();

    const config = readConfig({ NODE_ENV: 'production', SESSION_SECRET }, warnings);

    expect(config).toMatchObject({ production: true, secretKey: SESSION_SECRET });
    expect(warnings.lines).toEqual([]);
  });

  it.each(['http', '-1', '65536', '3000.5'])('refuses the port %p', (port) => {
    expect(() => readConfig({ SESSION_SECRET, PORT: port })).toThrow('PORT must be a number');
  });

  it.each(['an hour', '0', '-1', 'Infinity'])('refuses sessions of %p seconds', (seconds) => {
    expect(() => readConfig({ SESSION_SECRET, SESSION_TTL: seconds })).toThrow(
      'SESSION_TTL must be a number of seconds',
    );
  });
});
