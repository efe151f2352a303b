import { Injectable } from '@nestjs/common';
import { SessionService, type Session } from 'nestjs-sessionx';

import { CartResponse } from './cart.dto.js';
import type { CartItemDto } from './cart-item.dto.js';

declare module 'nestjs-sessionx' {
  interface SessionData {
    /** How many of each product are in the cart. */
    cartItems?: Record<string, number>;
  }
}

const MOST_OF_ONE = 99;

/** The cart lives in the session: before the login in an anonymous one, whose data the login moves over. */
@Injectable()
export class CartService {
  constructor(private readonly sessions: SessionService) {}

  contentOf(session: Session | null): CartResponse {
    return new CartResponse(session?.data.cartItems ?? {});
  }

  /** A quantity depends on the one before: `update()` counts right when two tabs add to it at once. */
  async change(request: object, { sku, change }: CartItemDto): Promise<CartResponse> {
    const { session } = await this.sessions.start(request, { transport: 'cookie' });
    await this.sessions.update(session, ({ data }) => {
      const items = (data.cartItems ??= {});
      const quantity = Math.min((items[sku] ?? 0) + change, MOST_OF_ONE);
      if (quantity > 0) items[sku] = quantity;
      else Reflect.deleteProperty(items, sku);
    });
    return this.contentOf(session);
  }
}
