import { ValidationPipe, type INestApplication } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { serveApiDocs, type ApiDocsOptions } from './api-docs.js';

/** All that the API asks of an application, on Express and on Fastify. */
export function serveApi(app: INestApplication, docs?: ApiDocsOptions): void {
  // Answers hold personal data. Caches leave alone what was asked for with Authorization, but know nothing of X-Session-Token.
  app.use('/api', (_request: IncomingMessage, response: ServerResponse, next: () => void) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.setGlobalPrefix('api');
  app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true }));
  // SIGTERM lets running requests finish and closes the connection to the store.
  app.enableShutdownHooks();
  serveApiDocs(app, docs);
}
