import { Module, type DynamicModule } from '@nestjs/common';

import { ShopModule } from '../shop/shop.module.js';
import type { DemoResponse } from './state.dto.js';
import { DEMO, StateController } from './state.controller.js';

@Module({ imports: [ShopModule], controllers: [StateController] })
export class StateModule {
  /** @param demo the demo user, whose password is shown; `null` if there is none */
  static with(demo: DemoResponse | null): DynamicModule {
    return { module: StateModule, providers: [{ provide: DEMO, useValue: demo }] };
  }
}
