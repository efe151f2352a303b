import { Module, type DynamicModule } from '@nestjs/common';

import { ShopModule } from '../shop/shop.module.js';
import type { DemoAnswer } from './state.answer.js';
import { DEMO, StateController } from './state.controller.js';

@Module({ imports: [ShopModule], controllers: [StateController] })
export class StateModule {
  /** @param demo a user whom everybody may try; null: there is none */
  static with(demo: DemoAnswer | null): DynamicModule {
    return { module: StateModule, providers: [{ provide: DEMO, useValue: demo }] };
  }
}
