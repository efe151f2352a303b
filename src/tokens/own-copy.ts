/**
 * Copies a text that is kept for long into memory of its own. In V8 a slice or a concatenation refers to its source texts: a token of
 * 100 characters would keep a whole Cookie header in memory, and a session id would keep the secret from which it was computed.
 */
export function ownCopy<Text extends string>(text: Text): Text {
  return Buffer.from(text).toString() as Text;
}
