import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { MemoryBackend } from 'nestjs-sessionx';

import { startApp } from '../support/apps.js';

describe('the option csrf', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it("has no effect without 'cookie' in tokenSourcePriority, which the log says once", async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    const session = { csrf: { requireToken: true }, backend: new MemoryBackend() };
    const app = await startApp({ controllers: [], session });
    await app.close();
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/csrf has no effect.*tokenSourcePriority/)]]);
  });

  it.each([{}, { tokenSourcePriority: ['bearer', 'cookie'] as const, csrf: { requireToken: true } }])(
    'is not mentioned with %j',
    async (session) => {
      const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
      const app = await startApp({ controllers: [], session: { ...session, backend: new MemoryBackend() } });
      await app.close();
      expect(warn).not.toHaveBeenCalled();
    },
  );
});
