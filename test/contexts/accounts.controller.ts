import { Controller, Get, UseGuards } from '@nestjs/common';
import {
  Ctx,
  EventPattern,
  GrpcMethod,
  GrpcStreamCall,
  GrpcStreamMethod,
  MessagePattern,
  Payload,
  type TcpContext,
} from '@nestjs/microservices';
import {
  AllowAnonymous,
  CurrentSession,
  CurrentUser,
  EndsWithSession,
  FlashMessages,
  OneTime,
  OptionalSession,
  Public,
  RequireRoles,
  SessionGuard,
  SessionService,
  UseSession,
  type FlashMessage,
  type Session,
  type SessionUser,
} from 'nestjs-sessionx';
import { concat, map, NEVER, of, reduce, switchMap, type Observable } from 'rxjs';

interface Text {
  readonly text: string;
}

interface GrpcCall {
  readonly metadata: object;
  on(event: string, listener: (value: Text) => void): void;
  write(value: Text): void;
  end(): void;
}

/** What gRPC clients can do with a session. */
@Controller()
@UseGuards(SessionGuard)
export class Accounts {
  constructor(private readonly sessions: SessionService) {}

  @Public()
  @UseSession()
  @GrpcMethod('Accounts', 'Login')
  async login({ text }: Text, metadata: object): Promise<Text> {
    const { token, session } = await this.sessions.login(metadata, { userId: text });
    session.data.a = 'by login';
    return { text: token ?? '' };
  }

  /** Nothing has read the metadata before. */
  @Public()
  @GrpcMethod('Accounts', 'LoginByMetadata')
  async loginByMetadata({ text }: Text, metadata: object): Promise<Text> {
    return { text: (await this.sessions.login(metadata, { userId: text })).token ?? '' };
  }

  @GrpcMethod('Accounts', 'Logout')
  async logout(_: Text, metadata: object): Promise<Text> {
    return { text: String(await this.sessions.logout(metadata)) };
  }

  @GrpcMethod('Accounts', 'WhoAmI')
  whoAmI(@CurrentUser() user: SessionUser): Text {
    return { text: user.userId };
  }

  @Public()
  @GrpcMethod('Accounts', 'Greet')
  greet(@OptionalSession('user') user: SessionUser | null): Text {
    return { text: `Hello ${user?.userId ?? 'visitor'}` };
  }

  @GrpcMethod('Accounts', 'Write')
  write(@Payload() { text }: Text, @CurrentSession() session: Session): Text {
    session.data[text] = true;
    session.addFlashMessage(text);
    return { text };
  }

  @AllowAnonymous()
  @GrpcMethod('Accounts', 'Written')
  written(@CurrentSession() { data }: Session, @FlashMessages() messages: FlashMessage[]): Text {
    return { text: `${Object.keys(data).sort().join()} ${messages.map(({ message }) => message).join()}` };
  }

  @GrpcMethod('Accounts', 'WriteThenFail')
  writeThenFail(@Payload() { text }: Text, @CurrentSession() session: Session): Text {
    session.data[text] = true;
    throw new Error('the handler failed');
  }

  @RequireRoles('admin')
  @GrpcMethod('Accounts', 'Audit')
  audit(): Text {
    return { text: 'for administrators' };
  }

  @GrpcMethod('Accounts', 'Once')
  once(@OneTime('oauth-state') value: unknown): Text {
    return { text: JSON.stringify(value) };
  }

  @GrpcMethod('Accounts', 'Count')
  count(@CurrentSession() session: Session): Observable<Text> {
    session.data.counted = true;
    return of({ text: 'one' }, { text: 'two' });
  }

  @GrpcStreamMethod('Accounts', 'Collect')
  collect(texts: Observable<Text>, metadata: object): Observable<Text> {
    return texts.pipe(
      reduce((seen, { text }) => seen + text, ''),
      switchMap(async (seen) => {
        const session = await this.sessions.current(metadata);
        return { text: `${seen} by ${session?.user?.userId}` };
      }),
    );
  }

  @GrpcStreamCall('Accounts', 'Pass')
  async pass(call: GrpcCall): Promise<void> {
    const session = await this.sessions.current(call);
    call.on('data', ({ text }) => {
      call.write({ text: `${text} of ${session?.user?.userId}` });
      call.end();
    });
  }
}

class Desk {
  @MessagePattern('inherited')
  inherited(@CurrentUser() user: SessionUser): string {
    return user.userId;
  }
}

/** Routes and messages by TCP in one controller, which is a sub-class. */
@Controller('desk')
@UseGuards(SessionGuard)
export class TcpDesk extends Desk {
  readonly events: unknown[] = [];

  constructor(private readonly sessions: SessionService) {
    super();
  }

  @Get()
  get(@CurrentUser() { userId }: SessionUser): Text {
    return { text: userId };
  }

  @Get('both')
  @MessagePattern('both')
  both(@CurrentUser() { userId }: SessionUser): Text {
    return { text: userId };
  }

  @MessagePattern('me')
  me(@CurrentUser() { userId }: SessionUser): Text {
    return { text: userId };
  }

  @Public()
  @UseSession()
  @MessagePattern('login')
  async login(@Ctx() context: TcpContext): Promise<string | null> {
    return (await this.sessions.login(context, { userId: 'ann' })).token;
  }

  @Public()
  @MessagePattern('login-without-interceptor')
  async loginUnknown(@Ctx() context: TcpContext): Promise<string | null> {
    return (await this.sessions.login(context, { userId: 'ann' })).token;
  }

  @MessagePattern('logout')
  logout(@Ctx() context: TcpContext): Promise<boolean> {
    return this.sessions.logout(context);
  }

  @MessagePattern('set')
  set(@Payload('key') key: string, @CurrentSession() session: Session): string {
    (session.data as Record<string, unknown>)[key] = true;
    return key;
  }

  @Public()
  @MessagePattern('maybe')
  maybe(@OptionalSession() session: Session | null): string {
    return session?.user?.userId ?? 'visitor';
  }

  @EventPattern('noted')
  noted(@CurrentSession() session: Session): void {
    session.data.noted = true;
    this.events.push(session.user?.userId);
  }

  @EndsWithSession()
  @MessagePattern('watch')
  watch(@CurrentUser() { userId }: SessionUser): Observable<string> {
    return concat(of(userId), NEVER);
  }

  @MessagePattern('count')
  count(@CurrentUser() { userId }: SessionUser): Observable<string> {
    return of(1, 2).pipe(map((number) => `${userId} ${number}`));
  }
}
