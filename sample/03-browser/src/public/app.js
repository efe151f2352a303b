import { call, Failure, useCsrfToken } from './api.js';
import { isOver, showTimeLeft, whenItEnds } from './countdown.js';
import { find, showCart, showDevices, showProducts, toast } from './view.js';

/** The signed-in user according to the server; `null` if none; `undefined` if not known yet. */
let username;

/** Loads the state of the page. Flash messages in the response are delivered to this tab only. */
async function refresh() {
  const state = await call('GET', 'state');
  useCsrfToken(state.csrfToken);
  for (const { message, category } of state.messages) toast(message, category);
  if (username && state.username === null) sayThatItEnded();
  username = state.username;
  showWho(state);
  showDemo(state.demo);
  showCart(state.cart, {
    add: (sku) => perform(() => changeCart(sku, 1)),
    remove: (sku) => perform(() => changeCart(sku, -1)),
  });
  if (username !== null)
    showDevices(await call('GET', 'devices'), { signOut: (id) => perform(() => signOutDevice(id)) });
  find('page').hidden = false;
}

function showWho({ username, expiresInSeconds }) {
  const signedIn = username !== null;
  if (signedIn) find('ended').hidden = true;
  showTimeLeft(signedIn ? expiresInSeconds : null);
  find('who').hidden = !signedIn;
  find('to-sign-in').hidden = signedIn;
  find('greeting').textContent = signedIn ? `Welcome, ${username}` : 'Good tea, kept simple';
  find('sign-in-card').hidden = signedIn;
  find('devices-card').hidden = !signedIn;
  find('cart-stays').hidden = signedIn;
}

/** Outside production there is a demo user. */
function showDemo(demo) {
  find('demo').hidden = demo === null;
  find('demo-username').textContent = demo?.username ?? '';
  find('demo-password').textContent = demo?.password ?? '';
}

function sayThatItEnded() {
  find('ended-text').textContent = isOver()
    ? 'Your session has expired. Sign in again to go on.'
    : 'You were signed out, perhaps from another device. Sign in again to go on.';
  find('ended').hidden = false;
}

async function changeCart(sku, change) {
  await call('POST', 'cart', { sku, change });
  await refresh();
}

async function signIn(form) {
  const { username, password, remember } = form;
  complain('');
  try {
    await call('POST', 'sign-in', {
      username: username.value,
      password: password.value,
      remember: remember.checked,
    });
  } catch (error) {
    const isWrong = error.status === 401;
    complain(isWrong ? 'Wrong username or password.' : error.message, { isWrong });
    if (isWrong) password.select();
    return;
  }
  form.reset();
  await refresh();
  find('greeting').focus();
}

/** @param {boolean} isWrong whether what is in the fields is the cause */
function complain(message, { isWrong = false } = {}) {
  find('sign-in-error').textContent = message;
  for (const input of find('sign-in').querySelectorAll('input[required]')) input.ariaInvalid = String(isWrong);
}

async function signOutDevice(id) {
  try {
    await call('DELETE', `devices/${id}`);
    toast('The device is signed out.', 'success');
  } catch (error) {
    // It has signed out by itself meanwhile.
    if (error.status !== 404) throw error;
  }
  await refresh();
}

async function signOutOthers() {
  const { message } = await call('POST', 'devices/sign-out-others');
  toast(message, 'success');
  await refresh();
}

/** The session that could keep a message for the next page is gone, so the page says it by itself. */
async function leave(path) {
  const { message } = await call('POST', path);
  toast(message, 'success');
  username = null;
  await refresh();
  find('greeting').focus();
}

let queue = Promise.resolve();

/** One after the other: two first clicks at once would be two sessions, with half a cart each. */
function perform(action) {
  queue = queue.then(() => attempt(action));
}

async function attempt(action) {
  try {
    await action();
    find('trouble').hidden = true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    // Not signed in, or no longer: reload the state from the server.
    if (error.status === 401 && action !== refresh) return attempt(refresh);
    // Tell a signed-in user why.
    const reassurance = error.status === 503 && username ? ' You need not sign in again.' : '';
    find('trouble-text').textContent = error.message + reassurance;
    find('trouble').hidden = false;
    find('try-again').onclick = () => perform(action);
  }
}

find('sign-in').onsubmit = (event) => {
  event.preventDefault();
  perform(() => signIn(event.target));
};
find('to-sign-in').onclick = (event) => {
  event.preventDefault();
  find('sign-in-card').scrollIntoView();
  find('username').focus({ preventScroll: true });
};
find('sign-out').onclick = () => perform(() => leave('auth/logout'));
find('sign-out-everywhere').onclick = () => perform(() => leave('auth/logout-all'));
find('sign-out-others').onclick = () => perform(signOutOthers);
find('stay').onclick = () => perform(refresh);
whenItEnds(() => perform(refresh));
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') perform(refresh);
});

perform(async () => {
  showProducts(await call('GET', 'products'), { add: (sku) => perform(() => changeCart(sku, 1)) });
  await refresh();
});
