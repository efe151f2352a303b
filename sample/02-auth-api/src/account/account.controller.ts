import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import {
  CurrentSession,
  CurrentUser,
  FlashMessages,
  RequireFresh,
  Session,
  type FlashMessage,
  type SessionData,
  type SessionUser,
} from 'nestjs-sessionx';

import { ApiSession } from '../api-docs.js';
import { MessageResponse } from '../message.dto.js';
import { UsersService } from '../users/users.service.js';
import { MessagesResponse } from './messages.dto.js';
import { ProfileResponse } from './profile.dto.js';
import { UpdateUserDto } from './update-user.dto.js';

@ApiTags('account')
@ApiSession()
@Controller()
export class AccountController {
  constructor(private readonly users: UsersService) {}

  @Get('user/profile')
  @ApiOkResponse({ type: ProfileResponse })
  profile(@CurrentSession() session: Session, @CurrentUser() user: SessionUser): ProfileResponse {
    return new ProfileResponse(user, session);
  }

  /**
   * Changes of the session are made in place. They are stored before the response is sent; if that fails, the response is an error.
   *
   * Whoever has the e-mail address can get a new password. So it takes a password of the last five minutes to change it.
   */
  @RequireFresh(300)
  @HttpCode(200)
  @Post('user/update')
  @ApiOkResponse({ type: MessageResponse })
  update(
    @Body() { email, theme }: UpdateUserDto,
    @CurrentUser() user: SessionUser,
    @CurrentSession('data') data: SessionData,
  ): MessageResponse {
    if (email !== undefined) {
      this.users.changeEmail(user.userId, email);
      user.email = email;
    }
    if (theme !== undefined) data.theme = theme;
    return new MessageResponse('Updated');
  }

  @Get('messages')
  @ApiOkResponse({ type: MessagesResponse })
  messages(@FlashMessages() messages: FlashMessage[]): MessagesResponse {
    return new MessagesResponse(messages);
  }
}
