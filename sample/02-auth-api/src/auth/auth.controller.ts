import { Body, Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import {
  ApiForbiddenResponse,
  ApiOkResponse,
  ApiTags,
  ApiTooManyRequestsResponse,
  ApiUnauthorizedResponse,
} from '@nestjs/swagger';
import { ThrottlerGuard } from '@nestjs/throttler';
import { CurrentUser, Public, SessionService, UseSession, type SessionUser } from 'nestjs-sessionx';

import { ApiSession } from '../api-docs.js';
import { MessageResponse } from '../message.dto.js';
import { ConfirmDto } from './confirm.dto.js';
import { LoginResponse } from './login-response.dto.js';
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
  @ApiOkResponse({ type: LoginResponse })
  @ApiUnauthorizedResponse({ description: 'Unknown user or wrong password: it does not say which' })
  @ApiTooManyRequestsResponse({ description: 'Too many attempts from this address' })
  async login(@Body() credentials: LoginDto, @Req() request: object): Promise<LoginResponse> {
    return new LoginResponse('Login successful', await this.logins.logIn(request, credentials));
  }

  /** Asks for the password again, before something important. The session gets a new token, and the old one is dead. */
  @ApiSession()
  @UseGuards(ThrottlerGuard)
  @HttpCode(200)
  @Post('confirm')
  @ApiOkResponse({ type: LoginResponse })
  @ApiForbiddenResponse({ description: 'Wrong password' })
  @ApiTooManyRequestsResponse({ description: 'Too many attempts from this address' })
  async confirm(
    @Body() { password }: ConfirmDto,
    @CurrentUser() { userId }: SessionUser,
    @Req() request: object,
  ): Promise<LoginResponse> {
    return new LoginResponse('Password confirmed', await this.logins.confirm(request, userId, password));
  }

  @ApiSession()
  @HttpCode(200)
  @Post('logout')
  @ApiOkResponse({ type: MessageResponse })
  async logout(@Req() request: object): Promise<MessageResponse> {
    await this.sessions.logout(request);
    return new MessageResponse('Logged out');
  }

  /** For a stolen phone, or after a change of the password. The session that asks ends too. */
  @ApiSession()
  @HttpCode(200)
  @Post('logout-all')
  @ApiOkResponse({ type: MessageResponse })
  async logoutAll(@CurrentUser() { userId }: SessionUser, @Req() request: object): Promise<MessageResponse> {
    const devices = await this.sessions.deleteUserSessions(userId);
    // There is nothing left to end, but perhaps a cookie to take back.
    await this.sessions.logout(request);
    return new MessageResponse(`Logged out from ${devices} ${devices === 1 ? 'device' : 'devices'}`);
  }
}
