import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsNotEmpty, IsString, MaxLength, ValidateIf } from 'class-validator';

// These limits bound the size of the request. Rules for good passwords belong to the sign-up.
export class LoginDto {
  @ApiProperty({ example: 'alice' })
  @IsString()
  @IsNotEmpty()
  @MaxLength(64)
  readonly username!: string;

  @ApiProperty({ example: 'correct horse battery staple' })
  @IsString()
  @IsNotEmpty()
  @MaxLength(256)
  readonly password!: string;

  @ApiPropertyOptional({ default: false, description: 'Keeps the user signed in for 30 days without use' })
  @ValidateIf((_, value: unknown) => value !== undefined)
  @IsBoolean()
  readonly remember?: boolean;
}
