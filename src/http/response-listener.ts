import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/** What is needed of an application of Fastify. */
export interface FastifyApplication {
  readonly server: Pick<Server, 'prependListener'>;
  addHook(
    name: 'onRequest',
    hook: (
      request: { readonly raw: IncomingMessage },
      reply: { readonly raw: ServerResponse },
      done: () => void,
    ) => void,
  ): unknown;
}

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/**
 * Calls `listener` with each request of a Fastify application and its response, because a request of Fastify does not know its response.
 *
 * By the server's own event, which comes before every middleware and hook; and by a hook for requests of `inject()`, which come without a
 * server. An application that is ready already refuses the hook, so a module that is loaded later hears of requests by the event only.
 */
export function listenForResponses(application: FastifyApplication, listener: Listener): void {
  application.server.prependListener('request', listener);
  try {
    application.addHook('onRequest', ({ raw: request }, { raw: response }, done) => {
      listener(request, response);
      done();
    });
  } catch (error) {
    if (!isReadyAlready(error)) throw error;
  }
}

function isReadyAlready(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'FST_ERR_INSTANCE_ALREADY_LISTENING';
}
