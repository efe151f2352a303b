import { ApiProperty } from '@nestjs/swagger';

export class MessageAnswer {
  @ApiProperty()
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}
