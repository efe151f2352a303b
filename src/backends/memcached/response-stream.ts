import { Server } from 'memjs';

/**
 * memjs's connection, without the copy of all bytes that it makes when some arrive: nearly always they begin with a response.
 */
export class ResponseStream extends Server {
  declare responseBuffer: Buffer;

  override appendToBuffer(bytes: Buffer): Buffer {
    const rest = this.responseBuffer;
    this.responseBuffer = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    return this.responseBuffer;
  }
}
