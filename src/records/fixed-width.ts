const ZERO = 48;
const NINE = 57;
const SPACE = 32;
const MOST_CHARS = 16;

/** What fields of this length and shorter ones are filled up with, by how many characters are missing. */
const [ZEROES, SPACES] = [fillersOf('0'), fillersOf(' ')];

/** The number in the characters from `from` to before `to`, all of them digits. NaN: they are not. */
export function digitsAt(text: string, from: number, to: number): number {
  // Not by Number(), which takes three times as long and reads signs, points and spaces too.
  let number = 0;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (!(code >= ZERO && code <= NINE)) return NaN;
    number = number * 10 + code - ZERO;
  }
  return number;
}

/** The number in so many characters from `from`, filled up with spaces from the left. NaN: there is none. */
export function filledNumberAt(text: string, from: number, chars: number): number {
  const last = from + chars - 1;
  let at = from;
  while (at < last && text.charCodeAt(at) === SPACE) at++;
  return digitsAt(text, at, last + 1);
}

/** A number as so many digits. A clock may count parts of a millisecond: they are left out. */
export function digits(value: number, count: number): string {
  return filledUp(value, count, ZEROES);
}

/** A number as so many characters, filled up with spaces from the left, as JSON allows. Parts of a millisecond are left out here too. */
export function filledNumber(value: number, chars: number): string {
  return filledUp(value, chars, SPACES);
}

/** Not by `padStart()`, which takes more time and memory. */
function filledUp(value: number, chars: number, fillers: readonly string[]): string {
  const text = String(Math.floor(value));
  return (fillers[chars - text.length] ?? '') + text;
}

function fillersOf(character: string): string[] {
  return Array.from({ length: MOST_CHARS }, (_, missing) => character.repeat(missing));
}
