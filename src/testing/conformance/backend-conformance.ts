import { ALIAS_REQUIREMENTS } from './alias.requirements.js';
import { Arena, type BackendSubject } from './arena.js';
import type { ConformanceCase } from './conformance-case.js';
import { LIVE_REQUIREMENTS } from './live.requirements.js';
import { RACE_REQUIREMENTS } from './race.requirements.js';
import { DAMAGE_REQUIREMENT, NEWER_REQUIREMENT, RECORD_REQUIREMENTS } from './record.requirements.js';
import { USER_REQUIREMENTS } from './user.requirements.js';

/**
 * Everything that a `SessionBackend` has to do, one case for each requirement, for any test runner. A backend that passes keeps the
 * module's promises.
 *
 * @example for (const { name, run } of backendConformance({ create: () => new MyBackend() })) it(name, run);
 */
export function backendConformance(subject: BackendSubject): ConformanceCase[] {
  const requirements = [...RECORD_REQUIREMENTS, ...USER_REQUIREMENTS, ...RACE_REQUIREMENTS, ...LIVE_REQUIREMENTS];
  if (subject.aliases !== false) requirements.push(...ALIAS_REQUIREMENTS);
  if (subject.damage !== undefined) requirements.push(DAMAGE_REQUIREMENT);
  if (subject.writeNewer !== undefined) requirements.push(NEWER_REQUIREMENT);
  return requirements.map(([name, check]) => ({
    name,
    run: async () => {
      const arena = await Arena.open(subject);
      try {
        await check(arena);
      } finally {
        await arena.close();
      }
    },
  }));
}
