/**
 * The same text in memory of its own, for what is kept. V8 makes a slice or a concatenation refer to the texts that it came from: a token of
 * 100 characters would keep a whole Cookie header in memory, a session id the secret that it was made from.
 */
export function ownCopy<Text extends string>(text: Text): Text {
  return Buffer.from(text).toString() as Text;
}
