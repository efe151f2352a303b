import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { PLATFORMS } from '../support/apps.js';
import { REASONS, startBareServer, startOurServer, type CaseServer } from '../support/case-servers.js';
import { RESPONSE_CASES as cases } from '../support/response-cases.js';

const servers = PLATFORMS.flatMap((platform) => REASONS.map((reason) => ({ platform, reason })));

describe.each(servers)("Node's response on $platform, while it waits for $reason", ({ platform, reason }) => {
  let bare: CaseServer;
  let ours: CaseServer;

  beforeAll(async () => {
    bare = await startBareServer({ platform, cases });
    ours = await startOurServer({ platform, cases, reason });
  });

  afterAll(async () => {
    await bare.close();
    await ours.close();
  });

  it.each(cases)('is the same to its handler and its client as without us: $name', async (testCase) => {
    expect(await ours.outcomeOf(testCase)).toEqual(await bare.outcomeOf(testCase));
  });
});
