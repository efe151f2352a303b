const SHOW_TOAST_MS = 6000;

const money = new Intl.NumberFormat('en', { style: 'currency', currency: 'EUR' });
const timeAgo = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' });

export const find = (id) => document.getElementById(id);

export function toast(message, category = 'info') {
  const element = clone('toast');
  setIcon(element, category === 'success' ? 'check' : 'info');
  element.querySelector('span').textContent = message;
  find('toasts').append(element);
  setTimeout(() => element.remove(), SHOW_TOAST_MS);
}

export function showProducts(products, { add }) {
  showList('products', products, 'product', ({ sku, name, priceInCents }, part) => {
    setIcon(part.element, sku);
    part('name').textContent = name;
    part('price').textContent = money.format(priceInCents / 100);
    part('of').textContent = ` ${name} to the cart`;
    part.element.querySelector('button').onclick = () => add(sku);
  });
}

export function showCart({ lines, totalInCents }, { add, remove }) {
  showList('cart', lines, 'line', ({ sku, name, quantity, priceInCents }, part) => {
    part('name').textContent = name;
    part('price').textContent = money.format(priceInCents / 100);
    part('quantity').textContent = quantity;
    part('less').ariaLabel = `One ${name} less`;
    part('less').onclick = () => remove(sku);
    part('more').ariaLabel = `One ${name} more`;
    part('more').onclick = () => add(sku);
  });
  find('cart-empty').hidden = lines.length > 0;
  find('cart-total').hidden = lines.length === 0;
  find('total').textContent = money.format(totalInCents / 100);
}

export function showDevices(devices, { signOut }) {
  showList('devices', devices, 'device', ({ id, browser, handheld, address, lastSeen, current }, part) => {
    setIcon(part.element, handheld ? 'phone' : 'laptop');
    part('browser').textContent = browser;
    part('address').textContent = address ?? 'unknown network';
    part('seen').textContent = current ? 'now' : ago(new Date(lastSeen));
    part('seen').dateTime = lastSeen;
    part('current').hidden = !current;
    part('sign-out').hidden = current;
    part('sign-out').ariaLabel = `Sign out ${browser}`;
    part('sign-out').onclick = () => signOut(id);
  });
  find('sign-out-others').hidden = devices.length < 2;
}

/** One element for each item. Those that stay keep their element, and with it the focus. */
function showList(id, items, template, fill) {
  const list = find(id);
  const hadFocus = list.contains(document.activeElement);
  const known = new Map([...list.children].map((element) => [element.dataset.key, element]));
  const elements = items.map((item) => {
    const key = item.id ?? item.sku;
    const element = known.get(key) ?? clone(template);
    element.dataset.key = key;
    const part = (name) => element.querySelector(`[data-${name}]`);
    fill(item, Object.assign(part, { element }));
    return element;
  });
  // To move an element takes its focus away, so the list is touched only where it differs.
  for (const element of list.querySelectorAll(':scope > li')) if (!elements.includes(element)) element.remove();
  elements.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
  if (hadFocus && !list.contains(document.activeElement)) list.parentElement.querySelector('h2').focus();
}

function clone(template) {
  return find(template).content.firstElementChild.cloneNode(true);
}

function setIcon(element, name) {
  element.querySelector('use').setAttribute('href', `#${name}`);
}

function ago(date) {
  const minutes = Math.round((date.getTime() - Date.now()) / 60_000);
  if (minutes >= 0) return 'just now';
  return minutes > -60 ? timeAgo.format(minutes, 'minute') : timeAgo.format(Math.round(minutes / 60), 'hour');
}
