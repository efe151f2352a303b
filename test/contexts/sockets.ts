import { once } from 'node:events';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';

export const LIBRARIES = ['socket.io', 'ws'] as const;
export type Library = (typeof LIBRARIES)[number];

/** An event that a gateway has sent. */
export interface SocketEvent {
  readonly event: string;
  readonly data: unknown;
}

/** A client of a gateway. */
export interface TestSocket {
  /** Sends an event and returns the next one that comes back, or the next whose data are `data`. */
  ask(event: string, message: unknown, data?: unknown): Promise<SocketEvent>;
  close(): void;
}

/** @throws Error with the status of the response, if the connection is refused */
export function openSocket(
  library: Library,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<TestSocket> {
  return library === 'ws' ? openWs(url, headers) : openSocketIo(url, headers);
}

async function openWs(url: string, headers: Readonly<Record<string, string>>): Promise<TestSocket> {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers });
  const listeners = new Set<(event: SocketEvent) => void>();
  socket.on('message', (text: Buffer) => {
    for (const listener of listeners) listener(JSON.parse(text.toString()) as SocketEvent);
  });
  await once(socket, 'open');
  return {
    ask: (event, message, data) => {
      const reply = next(listeners, data);
      socket.send(JSON.stringify({ event, data: message }));
      return reply;
    },
    close: () => {
      socket.terminate();
    },
  };
}

async function openSocketIo(url: string, headers: Readonly<Record<string, string>>): Promise<TestSocket> {
  const socket = io(url, {
    extraHeaders: { ...headers },
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
  });
  const listeners = new Set<(event: SocketEvent) => void>();
  socket.onAny((event: string, data: unknown) => {
    for (const listener of listeners) listener({ event, data });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  return {
    ask: (event, message, data) => {
      const reply = next(listeners, data);
      socket.emit(event, message);
      return reply;
    },
    close: () => {
      socket.disconnect();
    },
  };
}

function next(listeners: Set<(event: SocketEvent) => void>, data: unknown): Promise<SocketEvent> {
  return new Promise((resolve) => {
    const listener = (event: SocketEvent): void => {
      if (data !== undefined && event.data !== data) return;
      listeners.delete(listener);
      resolve(event);
    };
    listeners.add(listener);
  });
}
