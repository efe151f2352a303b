import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser, Response } from 'playwright-core';

import { RedisServer } from '../../../test/support/redis-server.js';
import { SampleProcess } from '../../support/sample-process.js';
import { startChromium } from './chromium.js';
import { Device, type Kind } from './device.js';
import { ForeignSite } from './foreign-site.js';
import type { Question } from './serve.js';
import { ALICE, BOB } from './users.js';

const SESSION_SECRET = 'a key of these tests only, 0123456789abcdef';
const COOKIE = '__Host-session';
/** To ask for the body of such an answer is an error in Chromium. */
const WITHOUT_BODY = [204, 304];
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TOAST_SECONDS = 7;

describe('the page of 03-browser in Chromium', () => {
  let browser: Browser;
  let server: SampleProcess;
  let redis: RedisServer;
  let url: string;
  let opened: Device[] = [];
  /** From earlier cases: a new one costs more than most of them. */
  const idle: Record<Kind, Device[]> = { phone: [], laptop: [], tablet: [] };

  beforeAll(async () => {
    redis = await RedisServer.start();
    server = new SampleProcess(new URL('./serve.ts', import.meta.url));
    browser = await startChromium();
  });

  afterAll(async () => {
    await browser.close();
    await server.stop();
    await redis.stop();
  });

  beforeEach(async () => {
    const environment = { SESSION_SECRET, TRUST_PROXY: 'loopback', REDIS_URL: redis.url };
    ({ url = '' } = await ask({ serve: environment }));
  });

  afterEach(async () => {
    for (const device of opened) {
      if (device.withClock) await device.close();
      else idle[device.kind].push(device);
    }
    opened = [];
  });

  const ask = (question: Question): Promise<{ url?: string }> => server.ask(question) as Promise<{ url?: string }>;

  async function device(kind: Kind = 'phone'): Promise<Device> {
    const device = idle[kind].pop() ?? (await Device.start(browser, kind));
    opened.push(device);
    return device.visit(url);
  }

  async function phoneWithClock(): Promise<Device> {
    const phone = await Device.start(browser, 'phone', true);
    opened.push(phone);
    return phone.visit(url);
  }

  const signedIn = async (kind?: Kind): Promise<Device> => (await device(kind)).signIn();

  /** Time passes for the server's sessions and for the page alike. */
  async function wait({ page }: Device, seconds: number): Promise<void> {
    await ask({ advanceSeconds: seconds });
    await page.clock.fastForward(seconds * 1000);
  }

  describe('signing in', () => {
    it('keeps the cart that a visitor has filled', async () => {
      const phone = await device();
      await phone.picture('visitor');
      await phone.add('Sencha');
      await phone.add('Sencha');
      await phone.add('Clay teapot');
      await phone.picture('visitor-with-cart');

      await phone.signIn();

      expect(await phone.cart()).toEqual(['2 Sencha', '1 Clay teapot']);
      expect(await phone.page.locator('#total').textContent()).toBe('€58.00');
      await phone.toasts.waitFor();
      await phone.picture('signed-in');
    });

    it('gives another id to the session that a visitor had, and ends the old one', async () => {
      const phone = await device();
      await phone.add('Assam');
      const [before] = await phone.context.cookies();

      await phone.signIn();

      const [after] = await phone.context.cookies();
      expect(after!.value).not.toBe(before!.value);
      const cookie = `${COOKIE}=${before!.value}`;
      const state = await fetch(`${url}/api/state`, { headers: { cookie } });
      expect(await state.json()).toMatchObject({ username: null, cart: { lines: [] } });
    });

    it('survives a reload', async () => {
      const phone = await signedIn();

      await phone.page.reload();

      await phone.heading('Welcome, alice').waitFor();
    });

    it('says kindly that the password is wrong, for a reader of the screen too', async () => {
      const phone = await device();

      await phone.submit({ ...ALICE, password: 'guess' });

      await phone.page.getByRole('alert').filter({ hasText: 'Wrong username or password.' }).waitFor();
      expect(await phone.page.getByLabel('Password').getAttribute('aria-invalid')).toBe('true');
      await phone.picture('wrong-password');
      await phone.signIn();
    });

    it('shows who can sign in, and what to try', async () => {
      const phone = await device();
      const hint = phone.page.locator('#demo');
      await hint.waitFor();
      const sentence = /^Try it as alice with the password (.+?): put something into the cart, sign in/;
      const [, password = ''] = sentence.exec((await hint.innerText()).trim()) ?? [];

      await phone.signIn({ username: 'alice', password });

      expect(await hint.isVisible()).toBe(false);
      expect((await phone.fetch('GET', '/api/state')).text).not.toContain(password);
    });

    it('shows no password in production', async () => {
      ({ url = '' } = await ask({ serve: { SESSION_SECRET, NODE_ENV: 'production' } }));
      const phone = await device();

      expect(JSON.parse((await phone.fetch('GET', '/api/state')).text)).toMatchObject({ username: null, demo: null });
      expect(await phone.page.locator('#demo').isVisible()).toBe(false);
    });

    it('says how long to wait after too many attempts', async () => {
      const phone = await device();
      const attempts = Array.from({ length: 10 }, () => phone.fetch('POST', '/api/sign-in', {}));
      await Promise.all(attempts);

      await phone.submit(ALICE);

      await phone.page.getByText(/^Too many attempts\. Try again in \d+ seconds\.$/).waitFor();
      expect(await phone.page.getByLabel('Password').getAttribute('aria-invalid')).toBe('false');
      await phone.picture('too-many-attempts');
    });

    it('ends with signing out, and says so', async () => {
      const phone = await signedIn();

      await phone.button('Sign out').click();

      await phone.heading('Sign in').waitFor();
      await phone.toasts.filter({ hasText: 'Logged out' }).waitFor();
      expect(await phone.context.cookies()).toEqual([]);
      expect(await phone.page.locator('#ended').isVisible()).toBe(false);
      await phone.picture('signed-out');
    });

    it('counts one device as one, where it ends everywhere', async () => {
      const phone = await signedIn();

      await phone.button('Sign out everywhere').click();

      await phone.page.getByText('Logged out from 1 device', { exact: true }).waitFor();
    });
  });

  describe('what the browser is given', () => {
    it('is a cookie for this host alone, out of reach of scripts, that ends with the browser', async () => {
      const phone = await signedIn();

      const cookies = await phone.context.cookies();

      expect(cookies).toEqual([
        expect.objectContaining({
          name: COOKIE,
          domain: '127.0.0.1',
          path: '/',
          httpOnly: true,
          secure: true,
          sameSite: 'Lax',
          expires: -1,
        }),
      ]);
    });

    it('outlives the browser if the user asks for that', async () => {
      const phone = await phoneWithClock();

      await phone.submit({ ...ALICE, remember: true });

      await phone.heading('Welcome, alice').waitFor();
      const [cookie] = await phone.context.cookies();
      const daysLeft = (cookie!.expires - Date.now() / 1000) / DAY;
      expect(daysLeft).toBeGreaterThan(29.9);
      expect(daysLeft).toBeLessThan(30.1);
      await wait(phone, 29 * DAY);
      await phone.page.reload();
      await phone.heading('Welcome, alice').waitFor();
    });

    it('is no token that a script could read', async () => {
      const phone = await device();
      const seen: string[] = [];
      const reading: Promise<void>[] = [];
      const read = (response: Response): void => {
        reading.push(
          (async () => {
            seen.push(JSON.stringify({ ...(await response.allHeaders()), 'set-cookie': null }));
            if (!WITHOUT_BODY.includes(response.status())) seen.push(await response.text());
          })(),
        );
      };
      // What is still on its way to the page before is lost when the next one opens.
      await phone.page.waitForLoadState('networkidle');
      phone.page.on('response', read);
      await phone.open();
      await phone.add('Sencha');
      await phone.signIn();
      await phone.add('Assam');
      phone.page.off('response', read);
      await Promise.all(reading);
      const [cookie] = await phone.context.cookies();

      const kept = await phone.page.evaluate<string>(
        'JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML])',
      );

      expect(seen.length).toBeGreaterThan(20);
      const [secret] = cookie!.value.split('.');
      expect(secret!.length).toBeGreaterThan(30);
      for (const text of [...seen, kept]) expect(text).not.toContain(secret);
      expect(await phone.page.evaluate('document.cookie')).toBe('');
    });

    it('is a page that runs no script but its own', async () => {
      const phone = await device();

      const policy = (await fetch(url)).headers.get('content-security-policy');
      const ran = await phone.page.evaluate<boolean>(`
        const script = document.createElement('script');
        script.textContent = 'window.injected = true';
        document.body.append(script);
        'injected' in window;
      `);

      expect(policy).toContain("script-src 'self';");
      expect(policy).not.toContain('unsafe');
      expect(ran).toBe(false);
    });
  });

  it('shows a message exactly once, in one of two tabs', async () => {
    const phone = await device();
    const tab = await phone.openTab();
    const signIn = await phone.fetch('POST', '/api/sign-in', ALICE);
    expect(signIn.status).toBe(204);

    const pages = [phone.page, tab];
    await Promise.all(pages.map((page) => page.reload()));
    await Promise.all(pages.map((page) => page.locator('#devices > li').first().waitFor()));

    const shown = await Promise.all(pages.map((page) => page.locator('#toasts > .toast').allInnerTexts()));
    expect(shown.flat()).toEqual(['Login successful!']);
    await phone.page.reload();
    await phone.devices.first().waitFor();
    expect(await phone.toasts.count()).toBe(0);
  });

  it('counts right when many clicks arrive at once', async () => {
    const phone = await device();
    await phone.add('Sencha');

    const clicks = Array.from({ length: 12 }, () => phone.fetch('POST', '/api/cart', { sku: 'sencha', change: 1 }));
    const statuses = (await Promise.all(clicks)).map(({ status }) => status);

    expect(statuses).toEqual(clicks.map(() => 200));
    await phone.open();
    expect(await phone.cart()).toEqual(['13 Sencha']);
  });

  describe('the devices of a user', () => {
    it('are listed with browser and address, and the one in hand is marked', async () => {
      await signedIn('laptop');

      const phone = await signedIn();

      const lines = await phone.devices.allInnerTexts();
      expect(lines.map((line) => line.replace(/\s+/g, ' '))).toEqual([
        expect.stringMatching(/^Chrome on Android 198\.51\.100\.\d+ · now This device$/),
        expect.stringMatching(/^Firefox on Windows 198\.51\.100\.\d+ · just now Sign out$/),
      ]);
    });

    it('are signed out one by one, which takes effect on their next click', async () => {
      const laptop = await signedIn('laptop');
      const phone = await signedIn();
      await laptop.picture('signed-in-wide');

      await phone.button('Sign out Firefox on Windows').click();
      await phone.toasts.filter({ hasText: 'The device is signed out.' }).waitFor();
      await laptop.button('Add Sencha to the cart').click();

      await laptop.page.getByText('You were signed out, perhaps from another device.').waitFor();
      await laptop.heading('Sign in').waitFor();
      await laptop.picture('ended-elsewhere');
      expect(await phone.devices.count()).toBe(1);
    });

    it('are signed out everywhere else', async () => {
      const laptop = await signedIn('laptop');
      const tablet = await signedIn('tablet');
      const phone = await (await phoneWithClock()).signIn();
      await phone.add('Chamomile');
      await phone.page.clock.fastForward(TOAST_SECONDS * 1000);
      await phone.picture('devices');

      await phone.button('Sign out everywhere else').click();

      await phone.toasts.filter({ hasText: 'Signed out 2 other devices' }).waitFor();
      await phone.button('Sign out Firefox on Windows').waitFor({ state: 'detached' });
      expect(await phone.devices.count()).toBe(1);
      for (const other of [laptop, tablet]) {
        await other.button('Add Sencha to the cart').click();
        await other.heading('Sign in').waitFor();
      }
      await phone.page.reload();
      await phone.heading('Welcome, alice').waitFor();
    });

    it('are signed out everywhere, the one in hand included', async () => {
      const laptop = await signedIn('laptop');
      const phone = await signedIn();

      await phone.button('Sign out everywhere').click();

      await phone.toasts.filter({ hasText: 'Logged out from 2 devices' }).waitFor();
      await phone.heading('Sign in').waitFor();
      await laptop.button('Add Sencha to the cart').click();
      await laptop.heading('Sign in').waitFor();
      expect(await phone.context.cookies()).toEqual([]);
    });

    it('are nobody else’s to sign out', async () => {
      const alice = await signedIn();
      const bob = await (await device('laptop')).signIn(BOB);
      const [own] = JSON.parse((await bob.fetch('GET', '/api/devices')).text) as { id: string }[];

      const foreign = await alice.fetch('DELETE', `/api/devices/${own!.id}`);
      const unknown = await alice.fetch('DELETE', '/api/devices/nothing-of-the-kind');

      expect([foreign.status, unknown.status]).toEqual([404, 404]);
      expect(foreign.text).toBe(unknown.text);
      await bob.page.reload();
      await bob.heading('Welcome, bob').waitFor();
    });
  });

  describe('the end of a session', () => {
    it('is counted down, and put off by use', async () => {
      const phone = await (await phoneWithClock()).signIn();
      const countdown = phone.page.locator('#time-left');
      await countdown.filter({ hasText: /^(?:60:00|59:5\d)$/ }).waitFor();

      await wait(phone, 40 * MINUTE);
      await countdown.filter({ hasText: /^(?:20:00|19:5\d)$/ }).waitFor();
      await phone.add('Assam');

      await countdown.filter({ hasText: /^(?:60:00|59:5\d)$/ }).waitFor();
      await phone.page.getByText('Your session was extended.').waitFor();
      await phone.picture('extended');
      const [cookie] = await phone.context.cookies();
      expect(cookie!.expires).toBe(-1);
    });

    it('is announced in time, with a button to stay', async () => {
      const phone = await (await phoneWithClock()).signIn();

      await wait(phone, 56 * MINUTE);
      await phone.page.getByText('Your session is about to end.').waitFor();
      await phone.picture('about-to-end');
      await phone.button('Stay signed in').click();

      await phone.page.getByText('Your session is about to end.').waitFor({ state: 'hidden' });
      await phone.page
        .locator('#time-left')
        .filter({ hasText: /^(?:60:00|59:5\d)$/ })
        .waitFor();
    });

    it('is shown when it comes, without a click', async () => {
      const phone = await (await phoneWithClock()).signIn();

      await wait(phone, HOUR + 1);

      await phone.page.getByText('Your session has expired. Sign in again to go on.').waitFor();
      await phone.heading('Sign in').waitFor();
      // The browser still has the cookie, which has no end of its own.
      expect((await phone.fetch('GET', '/api/user/profile')).status).toBe(401);
      await phone.picture('expired');
      await phone.signIn();
      expect(await phone.page.locator('#ended').isVisible()).toBe(false);
    });
  });

  describe('a form of another site', () => {
    let site: ForeignSite;

    beforeEach(async () => {
      site = await ForeignSite.start();
    });

    afterEach(() => site.stop());

    // Another port is the same site to a browser: it sends our cookie along, SameSite or not.
    it.each(['localhost', '127.0.0.1'] as const)('on %s is refused, and changes nothing', async (host) => {
      const phone = await signedIn();
      const before = await phone.fetch('GET', '/api/user/profile');
      // Without the cookie, which SameSite=Lax keeps from other sites, a route that wants a session knows none; the login needs none.
      const forms = [
        { action: `${url}/api/user/update`, fields: { theme: 'dark' }, withoutCookie: 401 },
        { action: `${url}/api/auth/logout-all`, fields: {}, withoutCookie: 401 },
        { action: `${url}/api/devices/sign-out-others`, fields: {}, withoutCookie: 401 },
        { action: `${url}/api/sign-in`, fields: BOB, withoutCookie: 403 },
      ];

      const tab = await phone.context.newPage();
      const statuses: number[] = [];
      for (const form of forms) {
        const [response] = await Promise.all([tab.waitForResponse(form.action), tab.goto(site.urlOf(host, form))]);
        statuses.push(response.status());
      }

      expect(statuses).toEqual(forms.map(({ withoutCookie }) => (host === '127.0.0.1' ? 403 : withoutCookie)));
      const profile = (text: string): object => ({ ...(JSON.parse(text) as object), lastAccessed: null });
      expect(profile((await phone.fetch('GET', '/api/user/profile')).text)).toEqual(profile(before.text));
    });

    it('does not get a visitor a session', async () => {
      const phone = await device();
      const tab = await phone.context.newPage();
      const form = { action: `${url}/api/sign-in`, fields: BOB };

      const [response] = await Promise.all([tab.waitForResponse(form.action), tab.goto(site.urlOf('localhost', form))]);

      expect([response.status(), await response.json()]).toMatchObject([403, { code: 'CSRF_CROSS_SITE' }]);
      expect(await phone.context.cookies()).toEqual([]);
    });
  });

  it('says that the store does not answer, and goes on with the session when it does again', async () => {
    const phone = await signedIn();
    await phone.add('Sencha');
    redis.pause();
    try {
      await phone.button('Add Assam to the cart').click();
      await phone.page
        .getByRole('alert')
        .filter({
          hasText:
            'The session store does not answer. Nothing is lost: try again in a moment. You need not sign in again.',
        })
        .waitFor();
      await phone.picture('store-down');
      expect(await phone.heading('Welcome, alice').isVisible()).toBe(true);
    } finally {
      redis.resume();
    }

    await eventually(async () => {
      await phone
        .button('Try again')
        .click({ timeout: 500 })
        .catch(() => undefined);
      return String(await phone.page.locator('#trouble').isVisible());
    }).toBe('false');

    expect(await phone.heading('Welcome, alice').isVisible()).toBe(true);
    expect(await phone.cart()).toContain('1 Sencha');
  });

  it('says to who signs in that the store does not answer, and not that the password is wrong', async () => {
    const phone = await device();
    redis.pause();
    try {
      await phone.submit(ALICE);
      const alert = phone.page.getByRole('alert').filter({ hasText: 'The session store does not answer.' });
      await alert.waitFor();
      expect(await alert.innerText()).not.toContain('sign in again');
      for (const field of ['Username', 'Password']) {
        expect(await phone.page.getByLabel(field).getAttribute('aria-invalid')).toBe('false');
      }
      await phone.picture('store-down-at-sign-in');
    } finally {
      redis.resume();
      // Its connection may still be lost: the next case gets an application of its own.
      await ask({ serve: null });
    }
  });

  describe('on a small screen', () => {
    it('fits, and every button is big enough for a thumb', async () => {
      await signedIn('tablet');
      const phone = await signedIn();
      await phone.add('Clay teapot');

      const layout = await phone.page.evaluate<object>(`({
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        small: [...document.querySelectorAll('button, input, a')]
          .filter((element) => element.checkVisibility())
          .filter((element) => Math.min(element.offsetHeight, element.offsetWidth) < 44)
          .map((element) => element.outerHTML),
      })`);

      expect(layout).toEqual({ overflow: 0, small: [] });
    });

    it('leads to the form from the top of the page', async () => {
      const phone = await device();
      const link = phone.page.getByRole('link', { name: 'Sign in', exact: true });
      const top = await link.boundingBox();
      expect(top!.y + top!.height).toBeLessThan(100);

      await link.click();

      expect(await phone.page.evaluate('document.activeElement.id')).toBe('username');
      const form = await phone.heading('Sign in').boundingBox();
      expect(form!.y).toBeGreaterThan(60);
      expect(form!.y).toBeLessThan(780);
      await phone.signIn();
      expect(await link.isVisible()).toBe(false);
    });

    it('is dark where the user wants it dark', async () => {
      const phone = await signedIn();
      await phone.add('Sencha');

      await phone.page.emulateMedia({ colorScheme: 'dark' });

      const background = await phone.page.evaluate('getComputedStyle(document.body).backgroundColor');
      expect(background).toBe('rgb(22, 23, 20)');
      await phone.picture('dark');
    });

    it('can be used with the keyboard alone, and the focus stays where one was', async () => {
      const phone = await device();
      await phone.button('Add Sencha to the cart').focus();
      await phone.page.keyboard.press('Enter');
      await phone.quantityOf('Sencha').waitFor();
      await phone.button('One Sencha more').focus();

      await phone.page.keyboard.press('Enter');
      await phone
        .quantityOf('Sencha')
        .and(phone.page.getByText('2', { exact: true }))
        .waitFor();

      expect(await phone.page.evaluate('document.activeElement.ariaLabel')).toBe('One Sencha more');
    });
  });
});

/** Asks again until the answer is right, for at most some seconds: what the page does by itself takes its time. */
function eventually(question: () => Promise<string>): { toBe(expected: string): Promise<void> } {
  return {
    async toBe(expected) {
      const end = Date.now() + 10_000;
      let answer = await question();
      while (answer !== expected && Date.now() < end) answer = await question();
      expect(answer).toBe(expected);
    },
  };
}
