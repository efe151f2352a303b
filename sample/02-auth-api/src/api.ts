import { ValidationPipe, type INestApplication } from '@nestjs/common';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { serveApiDocs, type ApiDocsOptions } from './api-docs.js';

/** All that the API asks of an application, on Express and on Fastify. */
export function serveApi(app: INestApplication, docs?: ApiDocsOptions): void {
  // Responses contain personal data. Shared caches do not store responses to requests with Authorization, but X-Session-Token is unknown to them.
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
