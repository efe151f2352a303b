import { Controller, Get, Module, Post } from '@nestjs/common';

import { USER } from '../session-content.js';
import type { AppDefinition, LoginAnswer } from './app-definition.js';

@Controller()
class BareController {
  @Post('login')
  login(): LoginAnswer {
    return { token: 'none' };
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
