import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { WebSocket } from 'ws';

import { RedisServer } from '../../../test/support/redis-server.js';
import { startChromium } from '../../03-browser/e2e/chromium.js';
import { SampleProcess } from '../../support/sample-process.js';

const MAIN = new URL('../src/main.ts', import.meta.url);
const SESSION_SECRET = 'a key of these tests only, 0123456789abcdef';

describe('04-live in Chromium, two processes on one Redis', () => {
  let redis: RedisServer;
  let processes: SampleProcess[];
  let urls: string[];
  let browser: Browser;
  let pages: Page[] = [];

  beforeAll(async () => {
    redis = await RedisServer.start();
    processes = [0, 1].map(() => new SampleProcess(MAIN, { PORT: '0', SESSION_SECRET, REDIS_URL: redis.url }));
    const printed = await Promise.all(processes.map((one) => one.prints(/Listening on (http:\S+)/)));
    urls = printed.map(([, url = '']) => url);
    browser = await startChromium();
  });

  afterAll(async () => {
    await browser.close();
    await Promise.all(processes.map((one) => one.stop()));
    await redis.stop();
  });

  afterEach(async () => {
    await Promise.all(pages.map((page) => page.context().close()));
    pages = [];
  });

  /** A tab of another browser, or of that of `neighbour`. A cookie is of a host, and so both processes get it. */
  async function tab(process: 0 | 1, neighbour?: Page): Promise<Page> {
    const context = neighbour?.context() ?? (await browser.newContext());
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    await page.goto(urls[process] ?? '');
    pages.push(page);
    return page;
  }

  async function signIn(page: Page, name: string): Promise<Page> {
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Sign in' }).click();
    return connected(page);
  }

  async function connected(page: Page): Promise<Page> {
    await page.locator('#connection[data-state="connected"]').waitFor();
    return page;
  }

  const say = async (page: Page, text: string): Promise<void> => {
    await page.getByLabel('Message').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('#lines li', { hasText: text }).waitFor();
  };

  const signedOut = (page: Page): Promise<void> => page.getByText('You have been signed out.').waitFor();

  it('closes the connections of all tabs and devices at a log-out everywhere, in whichever process they are', async () => {
    const first = await signIn(await tab(0), 'Ann');
    const second = await connected(await tab(1, first));
    const phone = await signIn(await tab(1), 'Ann');
    const other = await signIn(await tab(1), 'Bob');
    await say(first, 'Good evening');

    await first.getByRole('button', { name: 'Log out everywhere' }).click();
    await Promise.all([first, second, phone].map(signedOut));

    await say(other, 'Anybody here?');
    expect(await other.locator('#connection').textContent()).toBe('connected');
  });

  it('leaves other devices where they are at a log-out', async () => {
    const laptop = await signIn(await tab(0), 'Cleo');
    const phone = await signIn(await tab(1), 'Cleo');

    await laptop.getByRole('button', { name: 'Log out', exact: true }).click();
    await signedOut(laptop);

    await say(phone, 'Still here');
  });

  it('refuses a page of another origin that opens a connection with the cookie of a user', async () => {
    const page = await signIn(await tab(0), 'Dan');
    const [cookie] = await page.context().cookies();
    const open = (origin: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${String(urls[0]).replace('http', 'ws')}/chat`, {
          origin,
          headers: { cookie: `${cookie?.name ?? ''}=${cookie?.value ?? ''}` },
        });
        socket.once('unexpected-response', (_, response) => {
          resolve(response.statusCode ?? 0);
        });
        socket.once('open', () => {
          socket.terminate();
          resolve(101);
        });
        socket.once('error', reject);
      });

    expect(await open('https://evil.example')).toBe(403);
    expect(await open(String(urls[0]))).toBe(101);
  });

  it('refuses a name that is none', async () => {
    const page = await tab(0);
    await page.getByLabel('Your name').fill('42');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('A name has 2 to 20 letters.').waitFor();
  });
});
