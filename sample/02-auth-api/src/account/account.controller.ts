import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import {
  CurrentSession,
  CurrentUser,
  FlashMessages,
  Session,
  type FlashMessage,
  type SessionData,
  type SessionUser,
} from 'nestjs-sessionx';

import { ApiSession } from '../api-docs.js';
import { MessageAnswer } from '../message.answer.js';
import { UsersService } from '../users/users.service.js';
import { MessagesAnswer } from './messages.answer.js';
import { ProfileAnswer } from './profile.answer.js';
import { UpdateUserDto } from './update-user.dto.js';

@ApiTags('account')
@ApiSession()
@Controller()
export class AccountController {
  constructor(private readonly users: UsersService) {}

  @Get('user/profile')
  @ApiOkResponse({ type: ProfileAnswer })
  profile(@CurrentSession() session: Session, @CurrentUser() user: SessionUser): ProfileAnswer {
    return new ProfileAnswer(user, session);
  }

  /** Changes of the session are made in place; they are stored before the answer leaves, or the answer is an error. */
  @HttpCode(200)
  @Post('user/update')
  @ApiOkResponse({ type: MessageAnswer })
  update(
    @Body() { email, theme }: UpdateUserDto,
    @CurrentUser() user: SessionUser,
    @CurrentSession('data') data: SessionData,
  ): MessageAnswer {
    if (email !== undefined) {
      this.users.changeEmail(user.userId, email);
      user.email = email;
    }
    if (theme !== undefined) data.theme = theme;
    return new MessageAnswer('Updated');
  }

  @Get('messages')
  @ApiOkResponse({ type: MessagesAnswer })
  messages(@FlashMessages() messages: FlashMessage[]): MessagesAnswer {
    return new MessagesAnswer(messages);
  }
}
