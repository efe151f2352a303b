import { WsAdapter } from '@nestjs/platform-ws';
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';

import { keepUpgradeRequest } from './contexts/socket-request.js';

/**
 * `WsAdapter` of `@nestjs/platform-ws`, with sessions: sockets of `ws` do not know the request that opened them, so it is kept.
 *
 * @example app.useWebSocketAdapter(new SessionWsAdapter(app))
 */
export class SessionWsAdapter extends WsAdapter {
  override bindClientConnect(server: Pick<EventEmitter, 'on'>, callback: (...args: unknown[]) => void): void {
    server.on('connection', (socket: object, request: IncomingMessage) => {
      keepUpgradeRequest(socket, request);
      callback(socket, request);
    });
  }
}
