import { Module } from '@nestjs/common';

import { ShopModule } from '../shop/shop.module.js';
import { StateController } from './state.controller.js';

@Module({ imports: [ShopModule], controllers: [StateController] })
export class StateModule {}
