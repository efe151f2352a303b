import { describe, expect, it } from '@jest/globals';
import { MemoryBackend, type ProgressOptions, type SessionId, type SessionRecord, type UserTag } from 'nestjs-sessionx';
import { setTimeout as sleep } from 'node:timers/promises';

import { startService } from '../support/services.js';

const TIMEOUT_MS = 900;
/** With room for a loaded machine. */
const PART_MS = 300;
const PARTS = 6;

/** A store that has many sessions of each user, and works part by part. */
class WorksInParts extends MemoryBackend {
  constructor(
    private readonly parts: number,
    private readonly onPart: (part: number) => Promise<unknown>,
  ) {
    super();
  }

  override async listByUser(tag: UserTag, { progress }: ProgressOptions = {}): Promise<SessionRecord[]> {
    await this.#work(progress);
    return super.listByUser(tag);
  }

  override async deleteByUser(tag: UserTag, { progress }: ProgressOptions = {}): Promise<SessionId[]> {
    await this.#work(progress);
    return super.deleteByUser(tag);
  }

  async #work(progress: (() => void) | undefined): Promise<void> {
    for (let part = 0; part < this.parts; part++) {
      await this.onPart(part);
      progress?.();
    }
  }
}

describe('a call that works on many sessions', () => {
  it('may take longer than backendTimeout if each of its parts is in time', async () => {
    const backend = new WorksInParts(PARTS, () => sleep(PART_MS));
    const service = await startService(backend, { backendTimeout: TIMEOUT_MS });
    await service.sessions.createSession({ user: { userId: 'ann' } });
    const startedAt = performance.now();
    expect(await service.sessions.listUserSessions('ann')).toHaveLength(1);
    expect(await service.sessions.deleteUserSessions('ann')).toBe(1);
    expect(performance.now() - startedAt).toBeGreaterThan(2 * PARTS * PART_MS - 100);
    await service.close();
  });

  it('is a 503 when one of its parts takes longer', async () => {
    const never = new Promise(() => undefined);
    const backend = new WorksInParts(PARTS, (part) => (part === 1 ? never : Promise.resolve()));
    const service = await startService(backend, { backendTimeout: TIMEOUT_MS });
    for (const call of [
      () => service.sessions.listUserSessions('ann'),
      () => service.sessions.deleteUserSessions('ann'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT', status: 503 });
    }
    await service.close();
  });
});
