import { Body, Controller, Get, HttpCode, Post, Req } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Public, UseSession } from 'nestjs-sessionx';

import { CartResponse } from './cart.dto.js';
import { CartItemDto } from './cart-item.dto.js';
import { CartService } from './cart.service.js';
import { CATALOGUE, type Product } from './catalogue.js';

@ApiTags('page')
@Public()
@Controller()
export class ShopController {
  constructor(private readonly carts: CartService) {}

  @Get('products')
  products(): readonly Product[] {
    return CATALOGUE;
  }

  /** A client without a session that adds to the cart gets an anonymous session. */
  @UseSession()
  @HttpCode(200)
  @Post('cart')
  @ApiOkResponse({ type: CartResponse })
  change(@Body() item: CartItemDto, @Req() request: object): Promise<CartResponse> {
    return this.carts.change(request, item);
  }
}
