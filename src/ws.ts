import { WsAdapter } from '@nestjs/platform-ws';
import type { IncomingMessage } from 'node:http';

import { keepUpgradeRequest } from './contexts/socket-request.js';

/** The events of a server of `ws`. */
interface WebSocketServer {
  on(event: 'connection', listener: (socket: object, request: IncomingMessage) => void): unknown;
}

/**
 * `WsAdapter` of `@nestjs/platform-ws`, with sessions: sockets of `ws` do not know the request that opened them, so it is kept.
 *
 * @example app.useWebSocketAdapter(new SessionWsAdapter(app))
 */
export class SessionWsAdapter extends WsAdapter {
  override bindClientConnect(server: WebSocketServer, callback: (...args: unknown[]) => void): void {
    server.on('connection', (socket, request) => {
      keepUpgradeRequest(socket, request);
      callback(socket, request);
    });
  }
}
