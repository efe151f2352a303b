import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import compression from 'compression';
import session from 'express-session';
import type { RequestHandler } from 'express';
import helmet from 'helmet';

import { REASONS, startBareServer, startOurServer, type CaseServer } from '../support/case-servers.js';
import { EXPRESS_CASES, FASTIFY_CASES } from '../support/framework-cases.js';

const none: readonly RequestHandler[] = [];

/** What others put around a response: each once alone, and all at once. */
const MIDDLEWARE: Readonly<Record<string, readonly RequestHandler[]>> = {
  nothing: none,
  compression: [compression({ threshold: 0 })],
  helmet: [helmet()],
  'express-session': [session({ secret: 'of others', resave: false, saveUninitialized: false })],
  'all of them': [
    session({ secret: 'of others', resave: false, saveUninitialized: false }),
    helmet(),
    compression({ threshold: 0 }),
  ],
};

const express = Object.keys(MIDDLEWARE).flatMap((around) =>
  [false, true].map((comesFirst) => ({ platform: 'express' as const, around, comesFirst, cases: EXPRESS_CASES })),
);
const setups = [
  ...express,
  { platform: 'fastify' as const, around: 'nothing', comesFirst: false, cases: FASTIFY_CASES },
].flatMap((setup) => REASONS.map((reason) => ({ ...setup, reason })));

describe.each(setups)(
  'a handler on $platform with $around around it (we come first: $comesFirst), whose response waits for $reason',
  ({ platform, around, cases, reason, comesFirst }) => {
    const middleware = MIDDLEWARE[around] ?? none;
    const headers = { 'Accept-Encoding': 'gzip' };
    let bare: CaseServer;
    let ours: CaseServer;

    beforeAll(async () => {
      bare = await startBareServer({ platform, cases, middleware });
      ours = await startOurServer({ platform, cases, middleware, reason, comesFirst });
    });

    afterAll(async () => {
      await bare.close();
      await ours.close();
    });

    it.each(cases)('sees what it sees without us, and so does its client: $name', async (testCase) => {
      expect(await ours.outcomeOf(testCase, headers)).toEqual(await bare.outcomeOf(testCase, headers));
    });
  },
);
