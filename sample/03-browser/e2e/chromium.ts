import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { chromium, type Browser, type BrowserContext, type LaunchOptions } from 'playwright-core';

/** Debian's Chromium, without a window. */
export function startChromium(): Promise<Browser> {
  return chromium.launch(launchOptions());
}

/** The same with a profile in a folder, which a browser that is started later goes on with. */
export function startChromiumWithProfile(folder: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(folder, launchOptions());
}

function launchOptions(): LaunchOptions {
  const isRoot = process.getuid?.() === 0;
  return {
    executablePath: findOnPath('chromium'),
    // Chromium refuses to run as root with its sandbox; in a container there is often nobody else.
    chromiumSandbox: !isRoot,
    // With the limit it keeps no process ready for a page that may come; pages of two sites have two processes all the same.
    args: ['--disable-gpu', '--disable-quic', '--renderer-process-limit=1'],
  };
}

function findOnPath(command: string): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const file = folders.map((folder) => join(folder, command)).find((candidate) => existsSync(candidate));
  if (file === undefined) throw new Error(`${command} is not on the PATH. On Debian: sudo apt-get install ${command}`);
  return file;
}
