import { ApiProperty } from '@nestjs/swagger';

export class MessageResponse {
  @ApiProperty()
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}
