import { ApiProperty } from '@nestjs/swagger';
import type { LoginResult } from 'nestjs-sessionx';

class LoggedInUser {
  @ApiProperty({ type: String })
  readonly username: string | undefined;

  @ApiProperty({ type: [String], example: ['user'] })
  readonly roles: readonly string[];

  constructor({ user }: LoginResult['session']) {
    this.username = user?.username;
    this.roles = user?.roles ?? [];
  }
}

export class LoginResponse {
  @ApiProperty({ example: 'Login successful' })
  readonly message: string;

  /** Null only if the token went out in a cookie, which no body should repeat. */
  @ApiProperty({ type: String, description: 'Opens the session: keep it as you would keep a password' })
  readonly token: string | null;

  @ApiProperty()
  readonly user: LoggedInUser;

  constructor(message: string, { token, session }: LoginResult) {
    this.message = message;
    this.token = token;
    this.user = new LoggedInUser(session);
  }
}
