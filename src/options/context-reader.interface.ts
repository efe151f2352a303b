import type { ExecutionContext } from '@nestjs/common';

/** What a context has of a request, so that its session can be found. */
export interface ContextRequest {
  /**
   * The request of the framework or of Node, or anything with `headers`: those of the message. For a connection: the request that opened it. An `ip` is
   * the client's address, for bindings.
   */
  readonly request: object;
  /** The response to `request`. `null`: there is none that could carry a token. Left out: what the platform knows. */
  readonly response?: object | null | undefined;
  /**
   * The session token, where it is not in the headers of `request`. It is looked at first. Anything but a string that a client has sent in its place is
   * a token that opens no session; `null` is none. Only for what has no `response`.
   */
  readonly token?: string | null | undefined;
  /** Whether `request` is one request, or opened a connection whose messages are handled one by one. */
  readonly lifetime: 'request' | 'connection';
  /**
   * The same object for all messages of one connection, such as its socket. Default: `request`. Messages with other headers or another token than the
   * first have a connection of their own.
   */
  readonly connection?: object | undefined;
  /**
   * The same object while one message is handled, and another one for each message: `SessionService` takes it too, as it takes a request. Default: in a
   * microservice what `@Ctx()` injects, in GraphQL the operation, in a gateway the message; elsewhere `request`,
   * and for a connection there is none.
   */
  readonly message?: object | undefined;
}

/** Tells what is the request in the contexts of one type. The option `contexts` takes readers of the application. */
export interface ContextReader {
  /** As `ExecutionContext.getType()` returns it: `'rpc'`, `'ws'`, `'graphql'`, or one of another library. */
  readonly type: string;
  /**
   * Reads a context of that type. Called for each guard, decorator and interceptor, so it should be quick.
   *
   * @returns `null`: not known to this reader; then the one that comes with the module is used. Not a promise
   * @throws what the client is to get, such as an `RpcException`. Any other error is a mistake of the reader: it is logged, and the message refused
   */
  read(context: ExecutionContext): ContextRequest | null;
}
