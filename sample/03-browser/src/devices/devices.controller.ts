import { Controller, Delete, Get, HttpCode, NotFoundException, Param, Post, Req } from '@nestjs/common';
import { ApiNotFoundResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentSession, CurrentUser, Session, SessionService, type SessionUser } from 'nestjs-sessionx';

import { ApiSession } from '../../../02-auth-api/src/api-docs.js';
import { MessageResponse } from '../../../02-auth-api/src/message.dto.js';
import { DeviceResponse } from './device.dto.js';

/** Where a user is signed in. To sign out everywhere, this device included, is `auth/logout-all`. */
@ApiTags('page')
@ApiSession()
@Controller('devices')
export class DevicesController {
  constructor(private readonly sessions: SessionService) {}

  /** The one in hand, then the latest used. */
  @Get()
  @ApiOkResponse({ type: [DeviceResponse] })
  async list(
    @CurrentSession() { sessionId }: Session,
    @CurrentUser() { userId }: SessionUser,
  ): Promise<DeviceResponse[]> {
    const all = await this.sessions.listUserSessions(userId);
    const devices = all.map((session) => new DeviceResponse(session, sessionId));
    return devices.sort((a, b) => Number(b.current) - Number(a.current));
  }

  @HttpCode(200)
  @Post('sign-out-others')
  @ApiOkResponse({ type: MessageResponse })
  async signOutOthers(
    @CurrentSession() session: Session,
    @CurrentUser() { userId }: SessionUser,
  ): Promise<MessageResponse> {
    const count = await this.sessions.deleteUserSessions(userId, { except: session.sessionId });
    return new MessageResponse(`Signed out ${count} other ${count === 1 ? 'device' : 'devices'}`);
  }

  /** An id is not secret, so the session must belong to the current user. For another user there is no such device. */
  @HttpCode(204)
  @Delete(':id')
  @ApiNotFoundResponse({ description: 'Not one of your devices, or not any more' })
  async signOut(
    @Param('id') id: string,
    @CurrentSession() { sessionId }: Session,
    @CurrentUser() { userId }: SessionUser,
    @Req() request: object,
  ): Promise<void> {
    const own = await this.sessions.listUserSessions(userId);
    if (!own.some((session) => session.sessionId === id)) throw new NotFoundException('There is no such device.');
    // The session that asks ends by logout(), which takes the cookie back.
    await (id === sessionId ? this.sessions.logout(request) : this.sessions.deleteSession(id));
  }
}
