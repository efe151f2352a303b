import {
  CurrentSession,
  OptionalSession,
  type LoginOptions,
  type NewSessionUser,
  type Session,
  type SessionService,
  type SessionUser,
} from 'nestjs-sessionx';
import type { logIn } from 'nestjs-sessionx/testing';

declare module 'nestjs-sessionx' {
  interface SessionUser {
    plan?: 'free' | 'pro';
  }
  interface SessionData {
    visits?: number;
  }
  interface OneTimeData {
    invitation: { team: string };
    verifier: string;
  }
}

// For the type checker, which `public-types.spec.ts` runs: nothing here is called.

/** Both ways, and in tuples, so that unions are compared whole. */
type Same<A, B> = [A, B] extends [B, A] ? true : false;
type Plan = 'free' | 'pro' | undefined;
type Result<M extends Exclude<keyof SessionService, 'oneTime'>> = Awaited<ReturnType<SessionService[M]>>;
type PlanOf<S extends Session> = NonNullable<S['user']>['plan'];

/** Merged declarations are typed through every call. */
export const typed: [
  Same<NewSessionUser['plan'], Plan>,
  Same<PlanOf<Result<'createSession'>['session']>, Plan>,
  Same<PlanOf<Result<'getSession'>>, Plan>,
  Same<PlanOf<Result<'update'>>, Plan>,
  Same<PlanOf<Parameters<Parameters<SessionService['update']>[1]>[0]>, Plan>,
  Same<PlanOf<Result<'login'>['session']>, Plan>,
  Same<Parameters<SessionService['login']>[1]['plan'], Plan>,
  Same<PlanOf<Result<'start'>['session']>, Plan>,
  Same<PlanOf<NonNullable<Result<'current'>>>, Plan>,
  Same<PlanOf<Result<'regenerateSessionId'>['session']>, Plan>,
  Same<PlanOf<Result<'renewSession'>['session']>, Plan>,
  Same<PlanOf<Awaited<ReturnType<typeof logIn>>['session']>, Plan>,
  Same<Result<'getSession'>['data']['visits'], number | undefined>,
  Same<NonNullable<NonNullable<Parameters<SessionService['start']>[1]>['data']>['visits'], number | undefined>,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true, true];

/** What does not fit is refused, in calls. */
export const calls = (sessions: SessionService, session: Session, request: object) => [
  // @ts-expect-error -- not one of the plans
  () => sessions.login(request, { userId: 'ann', plan: 'gold' }),
  // @ts-expect-error -- not one of the plans
  () => sessions.createSession({ user: { userId: 'ann', plan: 'gold' } }),
  // @ts-expect-error -- a user id is a string
  () => sessions.login(request, { userId: 7 }),
  // @ts-expect-error -- not a number
  () => sessions.start(request, { data: { visits: 'many' } }),
  // @ts-expect-error -- not a number
  () => sessions.createSession({ data: { visits: 'many' } }),
  // @ts-expect-error -- a token is none of the ways that it travels
  (): LoginOptions => ({ transport: 'query' }),
  // @ts-expect-error -- not an invitation
  () => sessions.oneTime.put(session, 'invitation', 'team'),
  // @ts-expect-error -- not a text
  () => sessions.oneTime.put(session, 'verifier', 7),
  async () => {
    const team: string | undefined = (await sessions.oneTime.consume(session, 'invitation'))?.team;
    const verifier: string | null = await sessions.oneTime.consume(session, 'verifier');
    // @ts-expect-error -- a name without a type has a value of any
    const other: string | null = await sessions.oneTime.consume(session, 'other');
    return [team, verifier, other];
  },
  () =>
    sessions.update('id', ({ data, user }) => {
      // @ts-expect-error -- not a number
      data.visits = 'many';
      // @ts-expect-error -- to change it is to log in
      if (user) user.userId = 'eve';
    }),
];

/** And in decorators. */
export class SessionParameters {
  user(@CurrentSession('user') user: SessionUser, @OptionalSession('data') data: Session['data'] | null) {
    return [user.plan, data?.visits];
  }
  // @ts-expect-error -- a session has no such property
  wrong(@CurrentSession('token') token: string) {
    return token;
  }
  // @ts-expect-error -- nor is a method of it a value
  method(@OptionalSession('addFlashMessage') method: unknown) {
    return method;
  }
}
