import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { Session, SessionUser } from 'nestjs-sessionx';

import { THEMES } from './update-user.dto.js';

/** Each field is named: what is added to the user or the session one day does not get out by itself. */
class ProfileUser {
  @ApiProperty()
  readonly userId: string;

  @ApiPropertyOptional({ type: String })
  readonly username?: string | undefined;

  @ApiPropertyOptional({ type: String })
  readonly email?: string | undefined;

  constructor({ userId, username, email }: SessionUser) {
    this.userId = userId;
    this.username = username;
    this.email = email;
  }
}

export class ProfileResponse {
  @ApiProperty()
  readonly user: ProfileUser;

  @ApiPropertyOptional({ enum: THEMES })
  readonly theme: unknown;

  @ApiProperty()
  readonly createdAt: Date;

  @ApiProperty()
  readonly lastAccessed: Date;

  constructor(user: SessionUser, { data, createdAt, lastAccessed }: Session) {
    this.user = new ProfileUser(user);
    this.theme = data.theme;
    this.createdAt = createdAt;
    this.lastAccessed = lastAccessed;
  }
}
