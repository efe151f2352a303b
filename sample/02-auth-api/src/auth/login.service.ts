import { ForbiddenException, Injectable, UnauthorizedException } from '@nestjs/common';
import { SessionService, type LoginResult, type LoginOptions } from 'nestjs-sessionx';

import { UsersService } from '../users/users.service.js';
import type { LoginDto } from './login.dto.js';

/** From a name and a password to a session. */
@Injectable()
export class LoginService {
  constructor(
    private readonly sessions: SessionService,
    private readonly users: UsersService,
  ) {}

  /** @throws UnauthorizedException that does not say which of the two was wrong */
  async logIn(
    request: object,
    { username, password, remember = false }: LoginDto,
    options?: LoginOptions,
  ): Promise<LoginResult> {
    const user = await this.users.verify(username, password);
    if (user === null) throw new UnauthorizedException('Wrong username or password.');
    const result = await this.sessions.login(request, user, { ...options, remember, methods: ['pwd'] });
    result.session.addFlashMessage('Login successful!', 'success');
    return result;
  }

  /** For what `@RequireFresh()` protects. @throws ForbiddenException, and no 401, after which a client would throw its token away */
  async confirm(request: object, userId: string, password: string): Promise<LoginResult> {
    if (!(await this.users.hasPassword(userId, password))) throw new ForbiddenException('Wrong password.');
    return this.sessions.reauthenticate(request, { methods: ['pwd'] });
  }
}
