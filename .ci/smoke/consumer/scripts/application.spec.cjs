const { SessionService } = require('nestjs-sessionx');
const { RedisBackend } = require('nestjs-sessionx/redis');
const { logIn } = require('nestjs-sessionx/testing');

const { tryOut } = require('./cjs/try-out.js');

test('all entries load', () => {
  for (const exported of [SessionService, RedisBackend, logIn]) expect(typeof exported).toBe('function');
});

test('the application works', () => tryOut(), 30_000);
