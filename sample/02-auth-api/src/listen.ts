import type { INestApplication } from '@nestjs/common';

import type { AppConfig } from './config.js';

/** Starts to listen and returns the URL. @throws Error that names the variable to change, if the port is in use */
export async function listen(app: INestApplication, { port, host }: AppConfig): Promise<string> {
  try {
    await app.listen(port, host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new Error(
      `Port ${port} of ${host} is in use. Set PORT to another one, or end the program that listens there.`,
      {
        cause: error,
      },
    );
  }
  return app.getUrl();
}
