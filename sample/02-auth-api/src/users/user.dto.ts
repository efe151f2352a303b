import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { NewSessionUser } from 'nestjs-sessionx';

/** Each field is named: what is added to the user or the session one day does not get out by itself. */
export class UserResponse {
  @ApiProperty()
  readonly userId: string;

  @ApiPropertyOptional({ type: String })
  readonly username?: string | undefined;

  @ApiPropertyOptional({ type: String })
  readonly email?: string | undefined;

  @ApiProperty({ type: [String], example: ['user'] })
  readonly roles: readonly string[];

  constructor({ userId, username, email, roles = [] }: NewSessionUser) {
    this.userId = userId;
    this.username = username;
    this.email = email;
    this.roles = roles;
  }
}
