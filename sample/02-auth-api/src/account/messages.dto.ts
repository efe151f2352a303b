import { ApiProperty } from '@nestjs/swagger';
import type { FlashMessage } from 'nestjs-sessionx';

class MessageSchema implements FlashMessage {
  @ApiProperty({ example: 'Login successful!' })
  readonly message!: string;

  @ApiProperty({ example: 'success' })
  readonly category!: string;

  @ApiProperty()
  readonly timestamp!: Date;
}

export class MessagesResponse {
  @ApiProperty({ type: [MessageSchema] })
  readonly messages: readonly FlashMessage[];

  constructor(messages: readonly FlashMessage[]) {
    this.messages = messages;
  }
}
