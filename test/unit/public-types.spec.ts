import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MemoryBackend, type Session } from 'nestjs-sessionx';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { startService } from '../support/services.js';
import { typeFaults } from '../support/type-checker.js';

const tests = join(import.meta.dirname, '..');
const merged = join(tests, 'types', 'merged-declarations.ts');

it('merged declarations are values like any other', async () => {
  const { sessions, close } = await startService(new MemoryBackend());
  const { token } = await sessions.createSession({ user: { userId: 'ann', plan: 'pro' }, data: { visits: 1 } });
  const session = await sessions.getSession(token);
  expect([session.user?.plan, session.data.visits]).toEqual(['pro', 1]);

  const replaceData = (each: Session) => {
    // @ts-expect-error -- properties of a session are changed in place, not replaced
    each.data = {};
  };
  expect(() => replaceData(session)).toThrow(TypeError);
  expect(() => Object.assign(session, { sessionId: 'x', user: { userId: 'admin' } })).toThrow(TypeError);
  await close();
});

describe('the type checker', () => {
  let folder: string;

  beforeAll(() => {
    mkdirSync(join(tests, 'output'), { recursive: true });
    folder = mkdtempSync(join(tests, 'output', 'types-'));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds the merged types in all that goes in and comes out, and takes options under exactOptionalPropertyTypes', () => {
    const others = ['redis-options.ts', 'undefined-options.ts'].map((name) => join(tests, 'types', name));
    expect(typeFaults([merged, ...others], { exactOptionalPropertyTypes: true })).toEqual([]);
  }, 120_000);

  it('would find a call that has lost them', () => {
    const wrong = join(folder, 'wrong.ts');
    const declarations = readFileSync(merged, 'utf8');
    writeFileSync(wrong, declarations.replace("plan: 'gold'", "plan: 'pro'").replace('[true,', '[false,'));
    const codes = typeFaults([wrong]).map((fault) => /error (TS\d+)/.exec(fault)?.[1]);
    // A comparison that does not hold, and a line that fits where it should not.
    expect(codes.sort()).toEqual(['TS2322', 'TS2578']);
  }, 120_000);
});
