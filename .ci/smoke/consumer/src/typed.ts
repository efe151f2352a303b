// What an application adds to the user and the data by declaration merging must be typed wherever they are met. This file is right if it compiles.
import type { NewSessionUser, Session, SessionData, SessionService, SessionUser } from 'nestjs-sessionx';
import type { LoggedIn } from 'nestjs-sessionx/testing';

declare module 'nestjs-sessionx' {
  interface SessionUser {
    plan?: 'free' | 'pro';
  }
  interface SessionData {
    visits?: number;
  }
}

export const alice: NewSessionUser = { userId: 'alice', plan: 'pro' };

// @ts-expect-error: not one of the plans
export const mallory: NewSessionUser = { userId: 'mallory', plan: 'gold' };

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Plan = 'free' | 'pro' | undefined;

/** Each `true` stops the compilation where the type beside it is not the one expected; a field that is not merged would be missing, or `unknown`. */
export const typed: [
  Same<SessionUser['plan'], Plan>,
  Same<NewSessionUser['plan'], Plan>,
  Same<NonNullable<Session['user']>['plan'], Plan>,
  Same<NonNullable<LoggedIn['session']['user']>['plan'], Plan>,
  Same<Parameters<SessionService['login']>[1]['plan'], Plan>,
  Same<SessionData['visits'], number | undefined>,
  Same<Session['data']['visits'], number | undefined>,
  Same<Session['data']['anything else'], unknown>,
] = [true, true, true, true, true, true, true, true];
