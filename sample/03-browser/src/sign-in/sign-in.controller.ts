import { Body, Controller, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { ApiTags, ApiTooManyRequestsResponse, ApiUnauthorizedResponse } from '@nestjs/swagger';
import { ThrottlerGuard } from '@nestjs/throttler';
import { Public, UseSession } from 'nestjs-sessionx';

import { LoginDto } from '../../../02-auth-api/src/auth/login.dto.js';
import { LoginService } from '../../../02-auth-api/src/auth/login.service.js';

@ApiTags('page')
@Controller('sign-in')
export class SignInController {
  constructor(private readonly logins: LoginService) {}

  /** As `auth/login`, with the token in the cookie: the response contains no token that a script could read. */
  @Public()
  @UseSession()
  @UseGuards(ThrottlerGuard)
  @HttpCode(204)
  @Post()
  @ApiUnauthorizedResponse({ description: 'Unknown user or wrong password: it does not say which' })
  @ApiTooManyRequestsResponse({ description: 'Too many attempts from this address' })
  async signIn(@Body() credentials: LoginDto, @Req() request: object): Promise<void> {
    await this.logins.logIn(request, credentials, { transport: 'cookie' });
  }
}
