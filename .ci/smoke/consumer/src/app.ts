// A small application on the published package. The smoke test copies this folder twice into each application that it makes, as ES modules
// and as CommonJS, and compiles both copies against the installed tarball, so that it is type-checked as users do it too.
import {
  Controller,
  Get,
  HttpCode,
  Module,
  Post,
  Req,
  UseGuards,
  type DynamicModule,
  type Provider,
} from '@nestjs/common';
import {
  CurrentSession,
  generateSecretKey,
  Session,
  SessionGuard,
  SessionModule,
  SessionService,
  UseSession,
  type SessionModuleExtras,
  type SessionModuleOptions,
} from 'nestjs-sessionx';

import { alice } from './typed.js';

@Controller()
export class AppController {
  constructor(private readonly sessions: SessionService) {}

  @UseSession()
  @HttpCode(200)
  @Post('login')
  async login(@Req() request: object): Promise<{ token: string | null }> {
    const { token } = await this.sessions.login(request, alice);
    return { token };
  }

  @UseGuards(SessionGuard)
  @Get('profile')
  profile(@CurrentSession() session: Session): { userId: string | undefined; visits: number } {
    session.data.visits = (session.data.visits ?? 0) + 1;
    return { userId: session.user?.userId, visits: session.data.visits };
  }

  @UseSession()
  @HttpCode(204)
  @Post('logout')
  async logout(@Req() request: object): Promise<void> {
    await this.sessions.logout(request);
  }
}

@Module({})
export class AppModule {
  static with(
    options: Partial<SessionModuleOptions> & SessionModuleExtras = {},
    providers: Provider[] = [],
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [SessionModule.forRoot({ secretKey: generateSecretKey(), sessionTtl: 3600, ...options })],
      controllers: [AppController],
      providers,
    };
  }
}
