import { UseGuards } from '@nestjs/common';
import {
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  type OnGatewayConnection,
  type OnGatewayDisconnect,
} from '@nestjs/websockets';
import { CurrentUser, EndsWithSession, SessionGuard, SessionService, type SessionUser } from 'nestjs-sessionx';
import { WebSocket } from 'ws';

const LONGEST_TEXT = 500;

/** What all see. */
interface Line {
  readonly from: string;
  readonly text: string;
}

/**
 * A room for everybody who is signed in. `@EndsWithSession()` closes each connection when its session ends, by whomever: a log-out in another tab, a log-out
 * everywhere on another device, the limit of sessions, the end of its time.
 */
@EndsWithSession()
@UseGuards(SessionGuard)
@WebSocketGateway({ path: '/chat' })
export class ChatGateway implements OnGatewayConnection<WebSocket>, OnGatewayDisconnect<WebSocket> {
  /** Those who are let in: a socket is open while its session is looked up, and must hear nothing before. */
  readonly #present = new Set<WebSocket>();

  constructor(private readonly sessions: SessionService) {}

  /** Nest calls no guards here, and who only listens must be signed in too. What is thrown closes the connection. */
  async handleConnection(socket: WebSocket): Promise<void> {
    const { user } = await this.sessions.requireUser(socket);
    if (socket.readyState !== WebSocket.OPEN) return;
    this.#present.add(socket);
    this.#tellAll({ from: '', text: `${user?.username ?? ''} is here` });
  }

  handleDisconnect(socket: WebSocket): void {
    this.#present.delete(socket);
  }

  /** The guard looks the session up for each message. */
  @SubscribeMessage('say')
  say(@CurrentUser() { username = '' }: SessionUser, @MessageBody() text: unknown): void {
    if (typeof text === 'string' && text.trim() !== '')
      this.#tellAll({ from: username, text: text.slice(0, LONGEST_TEXT) });
  }

  #tellAll(line: Line): void {
    for (const socket of this.#present) socket.send(JSON.stringify({ event: 'line', data: line }));
  }
}
