import type { ExecutionContext } from '@nestjs/common';

/** What a context has of a request, so that its session can be found. */
export interface ContextRequest {
  /**
   * The request of the framework or of Node, or anything with `headers`: those of the message. For a connection: the request that opened it. An `ip` is
   * the client's address, for bindings.
   */
  readonly request: object;
  /** The response to `request`. `null`: there is none that could carry a token. Left out: what the platform knows. */
  readonly response?: object | null;
  /** The session token, where it is not in the headers of `request`. It is looked at first. */
  readonly token?: string | undefined;
  /** Whether `request` is one request, or opened a connection whose messages are handled one by one. */
  readonly lifetime: 'request' | 'connection';
  /** The same object for all messages of one connection, such as its socket. Default: `request`. */
  readonly connection?: object;
  /** The same object while one message is handled, and another one for each message. Default: `request`. */
  readonly message?: object;
}

/** Tells what is the request in the contexts of one type. The option `contexts` takes readers of the application. */
export interface ContextReader {
  /** As `ExecutionContext.getType()` returns it: `'rpc'`, `'ws'`, `'graphql'`, or one of another library. */
  readonly type: string;
  /**
   * Reads a context of that type. Called for each guard, decorator and interceptor, so it should be quick.
   *
   * @returns `null`: not known to this reader; then the one that comes with the module is asked
   */
  read(context: ExecutionContext): ContextRequest | null;
}
