import { Body, Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiTags, ApiTooManyRequestsResponse, ApiUnauthorizedResponse } from '@nestjs/swagger';
import { ThrottlerGuard } from '@nestjs/throttler';
import { CurrentUser, Public, SessionService, UseSession, type SessionUser } from 'nestjs-sessionx';

import { ApiSession } from '../api-docs.js';
import { MessageAnswer } from '../message.answer.js';
import { LoginAnswer } from './login.answer.js';
import { LoginDto } from './login.dto.js';
import { LoginService } from './login.service.js';

@ApiTags('auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly sessions: SessionService,
    private readonly logins: LoginService,
  ) {}

  /** The session is bound to the client's address and User-Agent: SessionModule takes both from the request. */
  @Public()
  @UseSession()
  @UseGuards(ThrottlerGuard)
  @HttpCode(200)
  @Post('login')
  @ApiOkResponse({ type: LoginAnswer })
  @ApiUnauthorizedResponse({ description: 'Unknown user or wrong password: it does not say which' })
  @ApiTooManyRequestsResponse({ description: 'Too many attempts from this address' })
  async login(@Body() credentials: LoginDto, @Req() request: object): Promise<LoginAnswer> {
    const { token } = await this.logins.logIn(request, credentials);
    return new LoginAnswer(token);
  }

  @ApiSession()
  @HttpCode(200)
  @Post('logout')
  @ApiOkResponse({ type: MessageAnswer })
  async logout(@Req() request: object): Promise<MessageAnswer> {
    await this.sessions.logout(request);
    return new MessageAnswer('Logged out');
  }

  /** For a stolen phone, or after a change of the password. The session that asks ends too. */
  @ApiSession()
  @HttpCode(200)
  @Post('logout-all')
  @ApiOkResponse({ type: MessageAnswer })
  async logoutAll(@CurrentUser() { userId }: SessionUser, @Req() request: object): Promise<MessageAnswer> {
    const devices = await this.sessions.deleteUserSessions(userId);
    // There is nothing left to end, but perhaps a cookie to take back.
    await this.sessions.logout(request);
    return new MessageAnswer(`Logged out from ${devices} ${devices === 1 ? 'device' : 'devices'}`);
  }
}
