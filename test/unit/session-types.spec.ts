import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MemoryBackend, type Session } from 'nestjs-sessionx';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { startService } from '../support/services.js';

const root = join(import.meta.dirname, '..', '..');
const typed = readFileSync(join(root, 'test', 'types', 'merged-declarations.ts'), 'utf8');

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
  let faults: string[];

  beforeAll(() => {
    mkdirSync(join(root, 'test', 'output'), { recursive: true });
    folder = mkdtempSync(join(root, 'test', 'output', 'types-'));
    const config = {
      extends: '../../../tsconfig.json',
      compilerOptions: { rootDir: root },
      include: ['*.ts'],
      exclude: [],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    writeFileSync(join(folder, 'right.ts'), typed);
    writeFileSync(join(folder, 'wrong.ts'), typed.replace("plan: 'gold'", "plan: 'pro'").replace('[true,', '[false,'));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, error, stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect({ status, error }).toEqual({ status: 2, error: undefined });
    faults = [...stdout.matchAll(/(\w+\.ts)\(.*error (TS\d+)/g)].map(([, file, code]) => `${file} ${code}`);
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds the merged types in all that goes in and comes out, and refuses what does not fit', () => {
    expect(faults.filter((fault) => fault.startsWith('right.ts'))).toEqual([]);
  });

  it('would find a call that has lost them', () => {
    // A comparison that does not hold, and a line that fits where it should not.
    expect(faults.sort()).toEqual(['wrong.ts TS2322', 'wrong.ts TS2578']);
  });
});
