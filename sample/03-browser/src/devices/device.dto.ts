import { ApiProperty } from '@nestjs/swagger';
import type { SessionSummary } from 'nestjs-sessionx';

import { browserName, isHandheld } from './browser-name.js';

export class DeviceResponse {
  /** The session's id. It does not authenticate a client, so it may be shown. */
  @ApiProperty()
  readonly id: string;

  @ApiProperty({ example: 'Firefox on Windows' })
  readonly browser: string;

  @ApiProperty({ description: 'A phone or a tablet' })
  readonly handheld: boolean;

  @ApiProperty({ type: String, nullable: true, example: '192.0.2.1' })
  readonly address: string | null;

  @ApiProperty({ description: 'Up to a minute behind' })
  readonly lastSeen: Date;

  @ApiProperty({ description: 'The device that asks' })
  readonly current: boolean;

  constructor({ sessionId, userAgent, ipAddress, lastAccessed }: SessionSummary, currentId: string) {
    this.id = sessionId;
    this.browser = browserName(userAgent ?? '');
    this.handheld = isHandheld(userAgent ?? '');
    this.address = ipAddress;
    this.lastSeen = lastAccessed;
    this.current = sessionId === currentId;
  }
}
