import { fileURLToPath } from 'node:url';

import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';

import { ALICE } from './users.js';

const OUTPUT = fileURLToPath(new URL('../../../test/output/browser/', import.meta.url));
const USER_AGENTS = {
  phone:
    'Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36',
  laptop: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:150.0) Gecko/20100101 Firefox/150.0',
  tablet:
    'Mozilla/5.0 (iPad; CPU OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
};
const VIEWPORTS = {
  phone: { width: 360, height: 780 },
  laptop: { width: 1200, height: 800 },
  tablet: { width: 820, height: 1180 },
};

export type Kind = keyof typeof USER_AGENTS;

let addresses = 0;

/** A browser of its own: cookies, address, User-Agent. */
export class Device {
  /** @param kind decides the size, too */
  static async start(browser: Browser, kind: Kind, withClock = false): Promise<Device> {
    const context = await browser.newContext({
      userAgent: USER_AGENTS[kind],
      viewport: VIEWPORTS[kind],
      deviceScaleFactor: kind === 'phone' ? 2 : 1,
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(10_000);
    const page = await context.newPage();
    // It goes on by itself, and can be moved.
    if (withClock) await page.clock.install();
    return new Device(kind, withClock, context, page);
  }

  private url = '';

  private constructor(
    readonly kind: Kind,
    readonly withClock: boolean,
    readonly context: BrowserContext,
    readonly page: Page,
  ) {}

  /** Begins anew, as somebody else's, at an address of its own. The page keeps nothing but cookies. */
  async visit(url: string): Promise<this> {
    const [, ...tabs] = this.context.pages();
    await Promise.all(tabs.map((tab) => tab.close()));
    await this.context.clearCookies();
    await this.page.emulateMedia({ colorScheme: null });
    addresses += 1;
    // The tests play the proxy in front.
    await this.context.setExtraHTTPHeaders({ 'x-forwarded-for': `198.51.100.${addresses}` });
    this.url = url;
    return this.open();
  }

  async open(): Promise<this> {
    await this.page.goto(this.url);
    await this.page.locator('#page').waitFor();
    return this;
  }

  /** Another tab of the same browser, with the page in it. */
  async openTab(): Promise<Page> {
    const tab = await this.context.newPage();
    await tab.goto(this.url);
    await tab.locator('#page').waitFor();
    return tab;
  }

  async signIn(user = ALICE): Promise<this> {
    await this.submit(user);
    await this.heading(`Welcome, ${user.username}`).waitFor();
    await this.devices.first().waitFor();
    return this;
  }

  async submit({ username, password, remember = false }: typeof ALICE & { remember?: boolean }): Promise<void> {
    await this.page.getByLabel('Username').fill(username);
    await this.page.getByLabel('Password').fill(password);
    if (remember) await this.page.getByLabel('Keep me signed in').check();
    await this.button('Sign in').click();
  }

  /** Puts one into the cart, and waits until the page says so. */
  async add(product: string): Promise<void> {
    const quantity = this.quantityOf(product);
    const before = (await quantity.count()) === 0 ? 0 : Number(await quantity.textContent());
    await this.button(`Add ${product} to the cart`).click();
    await quantity.and(this.page.getByText(String(before + 1), { exact: true })).waitFor();
  }

  async cart(): Promise<string[]> {
    const lines = this.page.locator('#cart > li');
    const names = await lines.locator('[data-name]').allTextContents();
    const quantities = await lines.locator('[data-quantity]').allTextContents();
    return names.map((name, index) => `${quantities[index] ?? ''} ${name}`);
  }

  quantityOf(product: string): Locator {
    return this.page.locator('#cart > li').filter({ hasText: product }).locator('[data-quantity]');
  }

  get devices(): Locator {
    return this.page.locator('#devices > li');
  }

  get toasts(): Locator {
    return this.page.locator('#toasts > .toast');
  }

  button(name: string): Locator {
    return this.page.getByRole('button', { name, exact: true });
  }

  heading(name: string): Locator {
    return this.page.getByRole('heading', { name, exact: true });
  }

  /** What a script of the page gets from the API. */
  async fetch(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
    const request = {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    };
    return this.page.evaluate(
      async ({ path, request }) => {
        const response = await fetch(path, request);
        return { status: response.status, text: await response.text() };
      },
      { path, request },
    );
  }

  /** A picture of the page as it is now, for people to look at. */
  async picture(state: string): Promise<void> {
    await this.page.evaluate('scrollTo(0, 0)');
    await this.page.screenshot({ path: `${OUTPUT}${state}.png`, fullPage: true });
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}
