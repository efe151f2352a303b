import { ApiProperty } from '@nestjs/swagger';
import { IsIn } from 'class-validator';

import { SKUS } from './catalogue.js';

export class CartItemDto {
  @ApiProperty({ enum: SKUS })
  @IsIn(SKUS)
  readonly sku!: string;

  @ApiProperty({ enum: [1, -1], description: 'One more, or one less' })
  @IsIn([1, -1])
  readonly change!: 1 | -1;
}
