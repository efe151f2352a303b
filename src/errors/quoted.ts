const LONGEST = 60;
/** What JSON leaves as it is, and a terminal obeys or does not show, such as a character that turns the direction of the text around. */
const UNSEEN = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A text for a message or the log, in quotes. A client may have chosen it, so it is cut, and what could pass for another line is escaped. */
export function quoted(text: string, mostChars = LONGEST): string {
  const shortened = text.length > mostChars ? `${text.slice(0, mostChars)}…` : text;
  return JSON.stringify(shortened).replace(UNSEEN, escape);
}

function escape(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
