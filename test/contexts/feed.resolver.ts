import { Inject, UseGuards } from '@nestjs/common';
import {
  Args,
  Context,
  Field,
  Mutation,
  ObjectType,
  Parent,
  Query,
  ResolveField,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import {
  CurrentSession,
  CurrentUser,
  EndsWithSession,
  OptionalSession,
  SessionGuard,
  SessionService,
  UseSession,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';
import { EventEmitter, on } from 'node:events';

@ObjectType()
class News {
  @Field(() => String)
  text!: string;

  @Field(() => String)
  reader?: string;
}

/** A resolver for each thing that can be done with a session over a WebSocket. */
@Resolver(() => News)
export class Feed {
  readonly events = new EventEmitter();

  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  publish(text: string): void {
    this.events.emit('news', { text });
  }

  @UseGuards(SessionGuard)
  @EndsWithSession()
  @Subscription(() => News, { resolve: ([news]: [News]) => news })
  news(@CurrentSession() session: Session): AsyncIterator<unknown> {
    session.data.subscribed = true;
    return on(this.events, 'news') as AsyncIterator<unknown>;
  }

  @EndsWithSession()
  @Subscription(() => News, { resolve: ([news]: [News]) => news, filter: () => true })
  publicNews(): AsyncIterator<unknown> {
    return on(this.events, 'news') as AsyncIterator<unknown>;
  }

  @UseGuards(SessionGuard)
  @ResolveField(() => String)
  reader(@Parent() { text }: News, @CurrentUser() { userId }: SessionUser): string {
    return `${userId} reads ${text}`;
  }

  @UseGuards(SessionGuard)
  @Query(() => String)
  me(@CurrentUser() { userId }: SessionUser): string {
    return userId;
  }

  @Query(() => String)
  greeting(@OptionalSession('user') user: SessionUser | null): string {
    return user?.userId ?? 'visitor';
  }

  @UseGuards(SessionGuard)
  @Mutation(() => String)
  write(@CurrentSession() session: Session, @Args('key') key: string): string {
    (session.data as Record<string, unknown>)[key] = true;
    return key;
  }

  @UseGuards(SessionGuard)
  @Mutation(() => String)
  async takes(@CurrentSession() session: Session): Promise<string> {
    await this.sessions.takeFlash(session);
    this.events.emit('arrived');
    await new Promise((resolve) => this.events.once('go', resolve));
    return 'taken';
  }

  @UseSession()
  @Mutation(() => String)
  async writeByContext(@Context() context: object): Promise<string> {
    const session = await this.sessions.current(context);
    if (session !== null) session.data.byContext = true;
    return session?.user?.userId ?? 'visitor';
  }

  @Mutation(() => String, { nullable: true })
  async login(@Context() context: object, @Args('userId') userId: string): Promise<string | null> {
    return (await this.sessions.login(context, { userId })).token;
  }

  @Mutation(() => Boolean)
  logout(@Context() context: { readonly req?: object }): Promise<boolean> {
    return this.sessions.logout(context.req ?? context);
  }
}
