const LONGEST_KEY = 60;
const LONGEST_PATH = 300;
/** What JSON leaves as it is, and a terminal obeys or does not show, such as a character that turns the direction of the text around. */
const UNSEEN = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

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
  const isLong = key.length > LONGEST_KEY;
  if (!isLong && /^[A-Za-z_$][\w$]*$/.test(key)) return `.${key}`;
  const text = JSON.stringify(isLong ? `${key.slice(0, LONGEST_KEY)}…` : key);
  return `[${text.replace(UNSEEN, escape)}]`;
}

function escape(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
