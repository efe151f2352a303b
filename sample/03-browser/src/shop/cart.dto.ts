import { ApiProperty } from '@nestjs/swagger';

import { CATALOGUE, type Product } from './catalogue.js';

class CartLine {
  @ApiProperty({ example: 'sencha' })
  readonly sku: string;

  @ApiProperty({ example: 'Sencha' })
  readonly name: string;

  @ApiProperty({ example: 2 })
  readonly quantity: number;

  @ApiProperty({ example: 1900 })
  readonly priceInCents: number;

  constructor({ sku, name, priceInCents }: Product, quantity: number) {
    this.sku = sku;
    this.name = name;
    this.quantity = quantity;
    this.priceInCents = priceInCents * quantity;
  }
}

export class CartResponse {
  @ApiProperty({ type: [CartLine] })
  readonly lines: readonly CartLine[];

  @ApiProperty({ example: 1900 })
  readonly totalInCents: number;

  constructor(items: Readonly<Record<string, number>>) {
    this.lines = CATALOGUE.flatMap((product) => {
      const quantity = items[product.sku] ?? 0;
      return quantity > 0 ? [new CartLine(product, quantity)] : [];
    });
    this.totalInCents = this.lines.reduce((sum, { priceInCents }) => sum + priceInCents, 0);
  }
}
