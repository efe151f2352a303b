import 'reflect-metadata';

import { Logger, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Redis } from 'ioredis';
import { SessionModule, SessionService } from 'nestjs-sessionx';
import { RedisBackend } from 'nestjs-sessionx/redis';
import { randomUUID } from 'node:crypto';

import { DATA, SECRET, TTL_SECONDS, USER } from '../http/session-content.js';

/** A way to make a session for a user. */
export interface Contestant {
  logIn(userId: string): Promise<void>;
  close(): Promise<void>;
}

/** This package, with its default limit. */
export async function sessionx(redisUrl: string, limit: number): Promise<Contestant> {
  @Module({
    imports: [
      SessionModule.forRoot({
        secretKey: SECRET,
        sessionTtl: TTL_SECONDS,
        backend: new RedisBackend(redisUrl),
        maxSessionsPerUser: limit,
      }),
    ],
  })
  class LoginModule {}
  Logger.overrideLogger(['error']);
  const app: INestApplicationContext = await NestFactory.createApplicationContext(LoginModule);
  const sessions = app.get(SessionService);
  return {
    logIn: async (userId) => {
      await sessions.createSession({ user: { ...USER, userId }, data: DATA, userAgent: 'bench' });
    },
    close: () => app.close(),
  };
}

/** The least that an index of a user's sessions costs: SET, ZADD and EXPIRE in one pipeline, with no limit and no atomicity. */
export async function pipeline(redisUrl: string): Promise<Contestant> {
  const redis = new Redis(redisUrl);
  await redis.ping();
  return {
    logIn: async (userId) => {
      const id = randomUUID();
      const expiresAt = Date.now() + TTL_SECONDS * 1000;
      const results = await redis
        .pipeline()
        .set(`naive:${id}`, JSON.stringify({ user: { ...USER, userId }, data: DATA }), 'EX', TTL_SECONDS)
        .zadd(`naive:user:${userId}`, expiresAt, id)
        .expire(`naive:user:${userId}`, TTL_SECONDS)
        .exec();
      if (results?.some(([error]) => error !== null) !== false) throw new Error('A command of the pipeline failed.');
    },
    close: async () => {
      await redis.quit();
    },
  };
}
