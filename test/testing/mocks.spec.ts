import { expect, it } from '@jest/globals';
import { Controller, Get, UseGuards, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { CurrentUser, SessionGuard, SessionService, type SessionUser } from 'nestjs-sessionx';
import { logIn } from 'nestjs-sessionx/testing';

import { startApp } from '../support/apps.js';

@UseGuards(SessionGuard)
@Controller()
class ProfileController {
  @Get('profile')
  profile(@CurrentUser() user: SessionUser) {
    return { user: user.userId };
  }
}

it('a unit test that mocks what a controller needs, and closes nothing, leaves later applications alone', async () => {
  await Test.createTestingModule({ controllers: [ProfileController] })
    .useMocker(() => ({}))
    .compile();
  const app = await startApp({ controllers: [ProfileController] });
  const { headers } = await logIn(app.app, { userId: 'ann' });
  const response = await app.fetch('/profile', { headers });
  expect([response.status, await response.json()]).toEqual([200, { user: 'ann' }]);
  await app.close();
});

it('a guard with a mocked SessionService says what to do in place of that', () => {
  const guard = new SessionGuard({ current: () => null } as unknown as SessionService, new Reflector());
  const context = { getHandler: () => context, getClass: () => ProfileController } as unknown as ExecutionContext;
  expect(() => guard.canActivate(context)).toThrow(/sign in by logIn\(\) of nestjs-sessionx\/testing/);
});
