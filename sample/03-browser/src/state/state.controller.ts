import { Controller, Get, Inject } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CsrfToken, FlashMessages, OptionalSession, Public, type FlashMessage, type Session } from 'nestjs-sessionx';

import { CartService } from '../shop/cart.service.js';
import { StateResponse, type DemoResponse } from './state.dto.js';

/** Injection token of the demo user, whose password is shown; `null` if there is none. */
export const DEMO = Symbol('DEMO');

@ApiTags('page')
@Controller('state')
export class StateController {
  constructor(
    private readonly carts: CartService,
    @Inject(DEMO) private readonly demo: DemoResponse | null,
  ) {}

  /** All that the page shows, for users and visitors. Each message is returned once: to the first tab that requests it. */
  @Public()
  @Get()
  @ApiOkResponse({ type: StateResponse })
  state(
    @OptionalSession() session: Session | null,
    @FlashMessages() messages: FlashMessage[],
    @CsrfToken() csrfToken: string | null,
  ): StateResponse {
    return new StateResponse({ session, cart: this.carts.contentOf(session), messages, csrfToken, demo: this.demo });
  }
}
