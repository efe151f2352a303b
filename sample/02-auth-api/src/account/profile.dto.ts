import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { Session, SessionUser } from 'nestjs-sessionx';

import { UserResponse } from '../users/user.dto.js';
import { THEMES } from './update-user.dto.js';

export class ProfileResponse {
  @ApiProperty()
  readonly user: UserResponse;

  @ApiPropertyOptional({ enum: THEMES })
  readonly theme: unknown;

  @ApiProperty()
  readonly createdAt: Date;

  @ApiProperty()
  readonly lastAccessed: Date;

  constructor(user: SessionUser, { data, createdAt, lastAccessed }: Session) {
    this.user = new UserResponse(user);
    this.theme = data.theme;
    this.createdAt = createdAt;
    this.lastAccessed = lastAccessed;
  }
}
