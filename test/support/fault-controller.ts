import { Controller, Get, HttpCode, Post, Req, UseGuards } from '@nestjs/common';
import { CurrentSession, Session, SessionGuard, SessionService, UseSession } from 'nestjs-sessionx';

/** A route for each thing that a store which fails can get in the way of. */
@Controller()
export class FaultController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object) {
    return { token: (await this.sessions.login(request, { userId: 'ann' })).token };
  }

  @UseSession()
  @HttpCode(200)
  @Post('logout')
  async logout(@Req() request: object) {
    return { ended: await this.sessions.logout(request) };
  }

  @UseGuards(SessionGuard)
  @Get('me')
  me(@CurrentSession() session: Session) {
    return { userId: session.user?.userId };
  }

  @UseGuards(SessionGuard)
  @Post('write')
  write(@CurrentSession() session: Session) {
    session.data.written = 'x'.repeat(1000);
    return 'ok';
  }

  @Get('unused')
  unused(): string {
    return 'ok';
  }
}
