import { Module } from '@nestjs/common';

import { CartService } from './cart.service.js';
import { ShopController } from './shop.controller.js';

@Module({ controllers: [ShopController], providers: [CartService], exports: [CartService] })
export class ShopModule {}
