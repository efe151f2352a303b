import { Inject, UseGuards, type ExecutionContext } from '@nestjs/common';
import { Args, Context, Field, Mutation, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import {
  AllowAnonymous,
  CurrentSession,
  CurrentUser,
  FlashMessages,
  OptionalSession,
  Public,
  RequireFresh,
  RequireRoles,
  SessionGuard,
  SessionService,
  SkipCsrf,
  UseSession,
  type FlashMessage,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';

@ObjectType()
class Profile {
  @Field(() => String)
  userId!: string;

  @Field(() => String)
  seen?: string;
}

/** A resolver for each thing that can be done with a session. */
@Resolver(() => Profile)
export class Profiles {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  @Query(() => Profile)
  me(@CurrentUser() user: SessionUser): Profile {
    return { userId: user.userId };
  }

  @Query(() => String)
  secret(): string {
    return 'for users';
  }

  @Public()
  @RequireRoles('admin')
  @Query(() => String)
  audit(): string {
    return 'for administrators';
  }

  @RequireFresh(300)
  @Query(() => String)
  codes(): string {
    return 'after a fresh proof';
  }

  @Query(() => [Profile])
  profiles(): Profile[] {
    return Array.from({ length: 50 }, (_, index) => ({ userId: `user-${index}` }));
  }

  @Public()
  @Query(() => Profile)
  anybody(): Profile {
    return { userId: 'anybody' };
  }

  @ResolveField(() => String, { nullable: true })
  session(@CurrentSession() { user }: Session): string | undefined {
    return user?.userId;
  }

  @RequireRoles('admin')
  @ResolveField(() => String, { nullable: true })
  rights(): string {
    return 'admin';
  }

  @UseGuards(SessionGuard)
  @ResolveField(() => String)
  seen(@Parent() { userId }: Profile, @CurrentSession() session: Session): string {
    return `${userId} by ${session.user?.userId}`;
  }

  @Public()
  @Query(() => String)
  greeting(@OptionalSession() session: Session | null): string {
    return session === null ? 'Hello' : `Hello ${session.user?.userId ?? 'visitor'}`;
  }

  @AllowAnonymous()
  @Query(() => [String])
  messages(@FlashMessages() messages: FlashMessage[]): string[] {
    return messages.map(({ message }) => message);
  }

  @Public()
  @Mutation(() => String, { nullable: true })
  async login(@Context() { req }: { req: object }, @Args('userId') userId: string): Promise<string | null> {
    return (await this.sessions.login(req, { userId })).token;
  }

  @Mutation(() => Boolean)
  logout(@Context() { req }: { req: object }): Promise<boolean> {
    return this.sessions.logout(req);
  }

  @Mutation(() => Boolean)
  write(@CurrentSession() session: Session, @Args('key') key: string): boolean {
    session.data[key] = true;
    session.addFlashMessage(key);
    return true;
  }

  @UseSession()
  @Mutation(() => Boolean)
  writeWithInterceptor(@CurrentSession() session: Session): boolean {
    session.data.written = true;
    return true;
  }

  @SkipCsrf()
  @Mutation(() => Boolean)
  unchecked(): boolean {
    return true;
  }

  @SkipCsrf()
  @Query(() => Boolean)
  uncheckedQuery(): boolean {
    return true;
  }

  @Mutation(() => Boolean)
  unstorable(@CurrentSession() session: Session): boolean {
    session.data.when = () => undefined;
    return true;
  }
}

/** Gets the session before `SessionGuard` does. */
export class EarlyGuard {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    await this.sessions.current(context).catch(() => null);
    return true;
  }
}
