import { ApiProperty } from '@nestjs/swagger';

export class LoginResponse {
  /** Null only if the token went out in a cookie, which no body should repeat. */
  @ApiProperty({ type: String, description: 'Opens the session: keep it as you would keep a password' })
  readonly token: string | null;

  constructor(token: string | null) {
    this.token = token;
  }
}
