import { UseGuards } from '@nestjs/common';
import {
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  type OnGatewayConnection,
} from '@nestjs/websockets';
import { CurrentUser, EndsWithSession, SessionGuard, SessionService, type SessionUser } from 'nestjs-sessionx';
import type { Server, WebSocket } from 'ws';

const SIGN_IN_FIRST = 4401;
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
export class ChatGateway implements OnGatewayConnection<WebSocket> {
  @WebSocketServer()
  private readonly server!: Server;

  constructor(private readonly sessions: SessionService) {}

  /** Nest calls no guards here, and who only listens must be signed in too. */
  async handleConnection(socket: WebSocket): Promise<void> {
    const session = await this.sessions.current(socket);
    if (session?.user == null) socket.close(SIGN_IN_FIRST);
    else this.#tellAll({ from: '', text: `${session.user.username ?? ''} is here` });
  }

  /** The guard looks the session up for each message. */
  @SubscribeMessage('say')
  say(@CurrentUser() { username = '' }: SessionUser, @MessageBody() text: unknown): void {
    if (typeof text === 'string' && text.trim() !== '')
      this.#tellAll({ from: username, text: text.slice(0, LONGEST_TEXT) });
  }

  #tellAll(line: Line): void {
    for (const socket of this.server.clients) socket.send(JSON.stringify({ event: 'line', data: line }));
  }
}
