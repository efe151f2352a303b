import { Body, Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import type { Request } from 'express';
import {
  CurrentUser,
  OptionalSession,
  SessionGuard,
  SessionService,
  UseSession,
  type SessionUser,
} from 'nestjs-sessionx';

import { SignInDto } from './sign-in.dto.js';

@Controller('api')
export class AccountController {
  constructor(private readonly sessions: SessionService) {}

  /** Anybody is let in under any name: for real users, with hashed passwords, see 02-auth-api. */
  @UseSession()
  @HttpCode(204)
  @Post('sign-in')
  async signIn(@Body() { name }: SignInDto, @Req() request: Request): Promise<void> {
    await this.sessions.login(request, { userId: name.toLowerCase(), username: name });
  }

  @Get('me')
  me(@OptionalSession('user') user: SessionUser | null): { name: string | null } {
    return { name: user?.username ?? null };
  }

  @UseSession()
  @HttpCode(204)
  @Post('log-out')
  async logOut(@Req() request: Request): Promise<void> {
    await this.sessions.logout(request);
  }

  /** Nothing here knows of sockets: they end because their sessions do. */
  @UseGuards(SessionGuard)
  @HttpCode(204)
  @Post('log-out-everywhere')
  async logOutEverywhere(@CurrentUser() { userId }: SessionUser): Promise<void> {
    await this.sessions.deleteUserSessions(userId);
  }
}
