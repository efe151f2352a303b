import { Controller, Get, Module, Post } from '@nestjs/common';

import { USER } from '../session-content.js';
import type { AppDefinition, LoginResponse } from './app-definition.js';

/** As long as one of ours, because Node parses it with each request. */
const TOKEN = 'x'.repeat(100);

@Controller()
class BareController {
  @Post('login')
  login(): LoginResponse {
    return { token: TOKEN };
  }

  @Get('me')
  me(): unknown {
    return USER;
  }
}

@Module({ controllers: [BareController] })
class BareModule {}

/** Nest and nothing else. */
export function bareApp(): AppDefinition {
  return { module: BareModule };
}
