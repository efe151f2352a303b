import {
  Controller,
  Get,
  Injectable,
  Module,
  Post,
  Session,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

import { DATA, USER } from '../session-content.js';

/** `req.session` as express-session and @fastify/session make it. */
interface PeerSession {
  user?: unknown;
  data?: unknown;
}

/** Asks what SessionGuard asks: whether there is a session with a user. */
@Injectable()
class PeerGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { session } = context.switchToHttp().getRequest<{ session: PeerSession }>();
    return session.user !== undefined;
  }
}

@Controller()
class PeerController {
  @Post('login')
  login(@Session() session: PeerSession): object {
    session.user = USER;
    session.data = DATA;
    return {};
  }

  @UseGuards(PeerGuard)
  @Get('me')
  me(@Session() session: PeerSession): unknown {
    return session.user;
  }
}

@Module({ controllers: [PeerController] })
export class PeerModule {}
