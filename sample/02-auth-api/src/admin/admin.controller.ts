import { Controller, Get } from '@nestjs/common';
import { ApiForbiddenResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { RequireRoles } from 'nestjs-sessionx';

import { ApiSession } from '../api-docs.js';
import { UserResponse } from '../users/user.dto.js';
import { UsersService } from '../users/users.service.js';

/** The role is required of each route here, also of those that are added one day. */
@ApiTags('admin')
@ApiSession()
@RequireRoles('admin')
@Controller('admin')
export class AdminController {
  constructor(private readonly users: UsersService) {}

  @Get('users')
  @ApiOkResponse({ type: [UserResponse] })
  @ApiForbiddenResponse({ description: 'The user is no administrator: ROLE_MISSING' })
  list(): UserResponse[] {
    return this.users.list().map((user) => new UserResponse(user));
  }
}
