import { Body, Controller, Get, HttpCode, Module, Post, Req, UnauthorizedException, UseGuards } from '@nestjs/common';
import type { Request } from 'express';
import {
  CurrentUser,
  generateSecretKey,
  OptionalSession,
  Session,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type SessionUser,
} from 'nestjs-sessionx';

@Controller()
export class AppController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(
    @Body('username') username: unknown,
    @Body('password') password: unknown,
    @Req() request: Request,
  ): Promise<{ token: string | null }> {
    // For real users, with hashed passwords, see 02-auth-api.
    if (username !== 'alice' || password !== 'wonderland') throw new UnauthorizedException();
    const { token } = await this.sessions.login(request, { userId: '1', username });
    return { token };
  }

  @UseGuards(SessionGuard)
  @Get('profile')
  profile(@CurrentUser() user: SessionUser): SessionUser {
    return user;
  }

  @Get('public')
  hello(@OptionalSession() session: Session | null): string {
    return `Hello, ${session?.user?.username ?? 'guest'}!`;
  }

  @UseSession()
  @HttpCode(204)
  @Post('logout')
  async logout(@Req() request: Request): Promise<void> {
    await this.sessions.logout(request);
  }
}

@Module({
  // In memory: with a key made at each start, sessions end with the process in any case.
  imports: [SessionModule.forRoot({ secretKey: process.env.SESSION_SECRET ?? generateSecretKey(), sessionTtl: 3600 })],
  controllers: [AppController],
})
export class AppModule {}
