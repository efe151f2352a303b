import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CsrfToken, FlashMessages, OptionalSession, Public, type FlashMessage, type Session } from 'nestjs-sessionx';

import { CartService } from '../shop/cart.service.js';
import { StateAnswer } from './state.answer.js';

@ApiTags('page')
@Controller('state')
export class StateController {
  constructor(private readonly carts: CartService) {}

  /** All that the page shows, whoever looks at it. The messages are handed out once: to the first tab that asks. */
  @Public()
  @Get()
  @ApiOkResponse({ type: StateAnswer })
  state(
    @OptionalSession() session: Session | null,
    @FlashMessages() messages: FlashMessage[],
    @CsrfToken() csrfToken: string | null,
  ): StateAnswer {
    return new StateAnswer(session, this.carts.contentOf(session), messages, csrfToken);
  }
}
