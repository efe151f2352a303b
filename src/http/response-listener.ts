import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { PrivateSlot } from './private-slot.js';

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

/** Node's socket, which knows the response that is under way on it. Undocumented, so nothing here depends on it but the price. */
interface HttpSocket {
  readonly _httpMessage?: ServerResponse | null;
}

/**
 * The responses to requests of a Fastify application, whose requests do not know them.
 *
 * Noted by the server's own event, which comes before every middleware and hook; and by a hook, for requests of `inject()`, which come without
 * a server. An application that is ready already refuses the hook, so a module that is loaded later knows fewer.
 */
export class ResponseListener {
  readonly #noted = new PrivateSlot<ServerResponse>();

  /** @param arrived is called when the response to a request becomes known that its socket does not know */
  constructor(
    application: FastifyApplication,
    private readonly arrived: (request: IncomingMessage, response: ServerResponse) => void,
  ) {
    const note = (request: IncomingMessage, response: ServerResponse): void => {
      // Usually the socket knows it. To keep it for each request would cost a route without a session more than all else of ours.
      if ((request.socket as HttpSocket | undefined)?._httpMessage !== response) this.#note(request, response);
    };
    application.server.prependListener('request', note);
    try {
      application.addHook('onRequest', ({ raw: request }, { raw: response }, done) => {
        note(request, response);
        done();
      });
    } catch (error) {
      if (!isReadyAlready(error)) throw error;
    }
  }

  /** The response to `request`; undefined: not known. */
  responseTo(request: IncomingMessage): ServerResponse | undefined {
    const noted = this.#noted.get(request);
    if (noted !== undefined) return noted;
    const current = (request.socket as HttpSocket | undefined)?._httpMessage;
    return current?.req === request ? current : undefined;
  }

  #note(request: IncomingMessage, response: ServerResponse): void {
    if (this.#noted.get(request) !== undefined) return;
    this.#noted.set(request, response);
    this.arrived(request, response);
  }
}

function isReadyAlready(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'FST_ERR_INSTANCE_ALREADY_LISTENING';
}
