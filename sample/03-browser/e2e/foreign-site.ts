import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A page of another site that sends a form to the shop as soon as it is opened. */
export class ForeignSite {
  static async start(): Promise<ForeignSite> {
    const server = createServer((request, response) => {
      const { action, fields } = JSON.parse(
        new URL(request.url ?? '', 'http://site').searchParams.get('form') ?? '{}',
      ) as Form;
      const inputs = Object.entries(fields).map(
        ([name, value]) => `<input type="hidden" name="${name}" value="${value ?? ''}">`,
      );
      response.setHeader('Content-Type', 'text/html');
      response.end(
        `<form method="post" action="${action}">${inputs.join('')}</form><script>document.forms[0].submit()</script>`,
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ForeignSite(server);
  }

  private constructor(private readonly server: Server) {}

  /** @param host 127.0.0.1 is the shop's site, on another port; localhost is another site */
  urlOf(host: '127.0.0.1' | 'localhost', form: Form): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://${host}:${port}/?form=${encodeURIComponent(JSON.stringify(form))}`;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}

interface Form {
  readonly action: string;
  readonly fields: Readonly<Record<string, string | undefined>>;
}
