/** What a later version of the module may have made of the text of a record. */
export const newerForms: readonly (readonly [what: string, change: (text: string) => string])[] = [
  ['whose mark has a higher number', (text) => text.replace(/^sx1 /, 'sx2 ')],
  ['whose mark has a number of three digits and another width', (text) => text.replace(/^sx1 [^]*/, 'sx100 {}')],
  ['whose payload has a higher schema number', (text) => text.replace(/\n[^]*/, '\n{"schema":2,"more":true}')],
];

/** The first of these forms. */
export function newerText(text: string | null): string {
  if (text === null) throw new Error('There is no record to be changed.');
  return text.replace(/^sx1 /, 'sx2 ');
}
