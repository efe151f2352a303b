import { ApiProperty } from '@nestjs/swagger';
import type { FlashMessage, Session } from 'nestjs-sessionx';

import { MessagesResponse } from '../../../02-auth-api/src/account/messages.dto.js';
import { CartResponse } from '../shop/cart.dto.js';

/** The demo user, whose password is shown. */
export class DemoResponse {
  @ApiProperty()
  readonly username!: string;

  @ApiProperty()
  readonly password!: string;
}

/** What a {@link StateResponse} is made of. */
export interface ShownState {
  readonly session: Session | null;
  readonly cart: CartResponse;
  readonly messages: readonly FlashMessage[];
  readonly csrfToken: string | null;
  /** Null: there is none. */
  readonly demo: DemoResponse | null;
}

/** What the page shows. Each field is named: what is in the session besides does not get out by itself. */
export class StateResponse extends MessagesResponse {
  @ApiProperty({ type: String, nullable: true, description: 'Null: no user is signed in' })
  readonly username: string | null;

  /** Seconds rather than a time: the browser's clock may be wrong. */
  @ApiProperty({ type: Number, nullable: true, description: 'What is left of the session; null: there is none' })
  readonly expiresInSeconds: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'For X-CSRF-Token, where a browser tells no origin' })
  readonly csrfToken: string | null;

  @ApiProperty({ type: CartResponse })
  readonly cart: CartResponse;

  @ApiProperty({ type: DemoResponse, nullable: true, description: 'Null in production, and for who is signed in' })
  readonly demo: DemoResponse | null;

  constructor({ session, cart, messages, csrfToken, demo }: ShownState) {
    super(messages);
    this.username = session?.user?.username ?? null;
    this.expiresInSeconds = session && secondsLeft(session);
    this.csrfToken = csrfToken;
    this.cart = cart;
    this.demo = this.username === null ? demo : null;
  }
}

/** This request is the last access. */
function secondsLeft({ expiresAt, lastAccessed }: Session): number {
  return (expiresAt.getTime() - lastAccessed.getTime()) / 1000;
}
