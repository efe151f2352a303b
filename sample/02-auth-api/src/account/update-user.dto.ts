import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsEmail, IsIn, ValidateIf } from 'class-validator';

export const THEMES = ['light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

/** @IsOptional() would let null pass as well, and null is no e-mail address. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value: unknown) => value !== undefined);

export class UpdateUserDto {
  @ApiPropertyOptional({ example: 'alice@example.org' })
  @IfGiven()
  @IsEmail()
  readonly email?: string;

  @ApiPropertyOptional({ enum: THEMES })
  @IfGiven()
  @IsIn(THEMES)
  readonly theme?: Theme;
}
