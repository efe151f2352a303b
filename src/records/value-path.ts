import { quoted } from '../errors/quoted.js';

const LONGEST_PLAIN_KEY = 60;
const LONGEST_PATH = 300;

/** Where a value stands, such as `data.cart[2].price`, for messages. A client may have chosen the keys, so they are cut and escaped. */
export function spellPath(root: string, keys: readonly (string | number)[]): string {
  let path = root;
  for (const key of keys) {
    if (path.length > LONGEST_PATH) return `${path}…`;
    path += spell(key);
  }
  return path;
}

function spell(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  return key.length <= LONGEST_PLAIN_KEY && /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${quoted(key)}]`;
}
