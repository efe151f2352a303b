import type { INestApplication } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { SessionWsAdapter } from 'nestjs-sessionx/ws';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';

export const LIBRARIES = ['socket.io', 'ws'] as const;
export type Library = (typeof LIBRARIES)[number];

/** Gives the gateways of an application sockets of `library`. */
export function useSockets(app: INestApplication, library: Library): void {
  app.useWebSocketAdapter(library === 'ws' ? new SessionWsAdapter(app) : new IoAdapter(app));
}

/** An event that a gateway has sent. */
export interface SocketEvent {
  readonly event: string;
  readonly data: unknown;
}

/** What a client of socket.io may choose beside headers. */
export interface SocketOptions {
  /** The path of the gateway for `ws`, its namespace for socket.io. Default: `/`. */
  readonly path?: string;
  readonly auth?: unknown;
  readonly transports?: string[];
}

/** A client of a gateway. */
export interface TestSocket {
  /** All that it got. */
  readonly events: readonly SocketEvent[];
  /** The code of `ws`, or the reason of socket.io. */
  readonly closed: Promise<number | string>;
  readonly isOpen: boolean;
  /** Sends an event and returns the next one that comes back, or the next whose data are `data`. */
  ask(event: string, message: unknown, data?: unknown): Promise<SocketEvent>;
  close(): void;
}

/** @throws Error with the status of the response, if the connection is refused */
export function openSocket(
  library: Library,
  url: string,
  headers: Readonly<Record<string, string>>,
  options: SocketOptions = {},
): Promise<TestSocket> {
  return library === 'ws' ? openWs(url, headers, options) : openSocketIo(url, headers, options);
}

async function openWs(
  url: string,
  headers: Readonly<Record<string, string>>,
  { path = '/' }: SocketOptions,
): Promise<TestSocket> {
  const socket = new WebSocket(url.replace('http', 'ws') + path, { headers });
  const inbox = new Inbox();
  socket.on('message', (text: Buffer) => {
    inbox.add(JSON.parse(text.toString()) as SocketEvent);
  });
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await once(socket, 'open');
  return {
    events: inbox.events,
    closed,
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },
    ask: (event, message, data) => {
      const reply = inbox.next(data);
      socket.send(JSON.stringify({ event, data: message }));
      return reply;
    },
    close: () => {
      socket.terminate();
    },
  };
}

async function openSocketIo(
  url: string,
  headers: Readonly<Record<string, string>>,
  { path = '/', auth, transports = ['websocket'] }: SocketOptions,
): Promise<TestSocket> {
  const socket = io(url + path, {
    extraHeaders: { ...headers },
    ...(auth === undefined ? {} : { auth: auth as object }),
    transports,
    forceNew: true,
    reconnection: false,
  });
  const inbox = new Inbox();
  socket.onAny((event: string, data: unknown) => {
    inbox.add({ event, data });
  });
  const closed = new Promise<string>((resolve) => socket.once('disconnect', resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', (error) => {
      socket.disconnect();
      // The client hides the status of the response in there.
      const { context } = error as { readonly context?: { readonly statusCode?: number } };
      reject(new Error(`Unexpected server response: ${String(statusOf(error) ?? context?.statusCode)}`));
    });
  });
  return {
    events: inbox.events,
    closed,
    get isOpen() {
      return socket.connected;
    },
    ask: (event, message, data) => {
      const reply = inbox.next(data);
      socket.emit(event, message);
      return reply;
    },
    close: () => {
      socket.disconnect();
    },
  };
}

/** In the text of the error of `ws` below. */
function statusOf(error: Error): string | undefined {
  const { description } = error as { readonly description?: unknown };
  const text = typeof description === 'object' && description !== null && 'message' in description;
  return text ? /\d{3}/.exec(String(description.message))?.[0] : undefined;
}

class Inbox {
  readonly events: SocketEvent[] = [];
  readonly #listeners = new Set<(event: SocketEvent) => void>();

  add(event: SocketEvent): void {
    this.events.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  next(data: unknown): Promise<SocketEvent> {
    return new Promise((resolve) => {
      const listener = (event: SocketEvent): void => {
        if (data !== undefined && event.data !== data) return;
        this.#listeners.delete(listener);
        resolve(event);
      };
      this.#listeners.add(listener);
    });
  }
}
