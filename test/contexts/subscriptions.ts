import { createClient, type Client } from 'graphql-ws';
import { WebSocket } from 'ws';

export interface Result {
  readonly data?: Readonly<Record<string, unknown>> | null | undefined;
  readonly errors?: readonly { readonly message: string; readonly extensions?: Readonly<Record<string, unknown>> }[];
}

/** A client of GraphQL over a WebSocket. */
export interface FeedClient {
  /** The results until the operation is complete. What was refused as a whole is a result too. */
  subscribe(query: string): AsyncIterableIterator<Result>;
  /** The first result. */
  send(query: string): Promise<Result>;
  close(): void;
}

/** @param params what a client sends to open the connection */
export function feedClient(
  url: string,
  params: object = {},
  headers: Readonly<Record<string, string>> = {},
): FeedClient {
  class Socket extends WebSocket {
    constructor(address: string, protocols: string | string[]) {
      super(address, protocols, { headers });
    }
  }
  const client: Client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: Socket,
    connectionParams: params as Record<string, unknown>,
    retryAttempts: 0,
    lazy: true,
    lazyCloseTimeout: 5000,
    onNonLazyError: () => undefined,
  });
  const subscribe = async function* (query: string): AsyncIterableIterator<Result> {
    try {
      yield* client.iterate({ query }) as AsyncIterableIterator<Result>;
    } catch (error) {
      if (!Array.isArray(error)) throw error;
      yield { errors: error as Result['errors'] & [] };
    }
  };
  return {
    subscribe,
    send: async (query) => {
      const { value } = await subscribe(query).next();
      return value as Result;
    },
    close: () => void client.dispose(),
  };
}
