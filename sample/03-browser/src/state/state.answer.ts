import { ApiProperty } from '@nestjs/swagger';
import type { FlashMessage, Session } from 'nestjs-sessionx';

import { MessagesAnswer } from '../../../02-auth-api/src/account/messages.answer.js';
import { CartAnswer } from '../shop/cart.answer.js';

/** What the page shows. Each field is named: what is in the session besides does not get out by itself. */
export class StateAnswer extends MessagesAnswer {
  @ApiProperty({ type: String, nullable: true, description: 'Null: nobody is signed in' })
  readonly username: string | null;

  /** Seconds rather than a time: the browser's clock may be wrong. */
  @ApiProperty({ type: Number, nullable: true, description: 'What is left of the session; null: there is none' })
  readonly expiresInSeconds: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'For X-CSRF-Token, where a browser tells no origin' })
  readonly csrfToken: string | null;

  @ApiProperty({ type: CartAnswer })
  readonly cart: CartAnswer;

  constructor(session: Session | null, cart: CartAnswer, messages: readonly FlashMessage[], csrfToken: string | null) {
    super(messages);
    this.username = session?.user?.username ?? null;
    this.expiresInSeconds = session && secondsLeft(session);
    this.csrfToken = csrfToken;
    this.cart = cart;
  }
}

/** This request is the last access. */
function secondsLeft({ expiresAt, lastAccessed }: Session): number {
  return (expiresAt.getTime() - lastAccessed.getTime()) / 1000;
}
