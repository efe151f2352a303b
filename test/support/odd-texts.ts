import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The public list of strings that have broken programs (Max Woolf, MIT). */
const listFile = createRequire(import.meta.url).resolve('big-list-of-naughty-strings');
const strings = JSON.parse(readFileSync(listFile, 'utf8')) as string[];

/** Names of what JavaScript, JSON, Redis and Memcached have of their own, and texts at the bounds of what is allowed. */
const ours = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'toJSON', 'then', 'valueOf', 'length'],
  ...['null', 'undefined', 'NaN', '[]', '{}', '{"schema":1}', '"', '\\', '\\"', "'", '`', '${1}', '%s', '%00', '$&'],
  ...['session:', 'session:{x}', '{', '}', '{tag}', '*', '?', '[a-z]', 'KEYS *', 'FLUSHALL\r\n', 'sx1 0000000001 a u'],
  ...['\0', '\x01', '\x1b[2J', '\x7f', '\x9b', '\r\n', '\n', '\t', ' ', '  ', '\u00a0', '\u2028', '\u2029', '\ufeff'],
  ...['\ufffd', '\uffff', '\u200b', '\u202e', 'é', 'e\u0301', 'ß', 'ẞ', 'İ', 'ı', 'ﬀ', '𝒜', '👩‍👩‍👧‍👦', '🇦🇶', '\u{10ffff}'],
  ...['a'.repeat(511), 'a'.repeat(512), '😀'.repeat(256), ' '.repeat(512), '\n'.repeat(512)],
];

/** Some 600 texts, each once. */
export const ODD_TEXTS: readonly string[] = [...new Set([...strings, ...ours])];

/** User-Agents as they are, and as they should not be. */
export const USER_AGENTS: readonly string[] = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:146.0) Gecko/20100101 Firefox/146.0',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
  'Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36',
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
  'Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; .NET CLR 1.1.4322)',
  'Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (S60; SymbOS; Opera Mobi/23.348; U; en) Presto/2.5.25 Version/10.54',
  'Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.3.2',
  'curl/8.14.1',
  'Wget/1.25.0',
  'python-requests/2.32.4',
  'Go-http-client/1.1',
  'okhttp/5.1.0',
  'PostmanRuntime/7.45.0',
  'axios/1.11.0',
  'node',
  'Dalvik/2.1.0 (Linux; U; Android 9; ADT-2 Build/PTT5.181126.002)',
  'AppleCoreMedia/1.0.0.12B466 (Apple TV; U; CPU OS 8_1_3 like Mac OS X; en_us)',
  'Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15',
  '() { :; }; echo vulnerable',
  '${jndi:ldap://127.0.0.1/a}',
  '<script>alert(1)</script>',
  "' OR 1=1 --",
  '-',
  '"',
  '\\',
  '%00',
  '%0d%0aSet-Cookie: a=b',
  'é',
  'Mozilla/5.0 (compatible; Ünïcode/1.0)',
  '(((((((((((((((',
  'x'.repeat(511),
  'x'.repeat(512),
  'x'.repeat(513),
  'x'.repeat(4_000),
];

/** What other applications and attackers leave in a Cookie header: `<session>` stands for the cookie of the session. */
export const COOKIE_HEADERS: readonly string[] = [
  '<session>',
  'a=b; <session>',
  '<session>; a=b',
  'a=b;<session>;c=d',
  ';<session>',
  '<session>;',
  ';;; ;<session>; ;;',
  '  <session>  ',
  'a; <session>',
  '=; <session>',
  '=b; <session>',
  'a=; <session>',
  'a==b==; <session>; c===',
  '__proto__=x; constructor=y; <session>; toString=z',
  '_ga=GA1.1.1234567890.1700000000; _gid=GA1.2.3; <session>; _fbp=fb.1.1700000000000.123',
  'connect.sid=s%3Aabc.def%2Bghi; <session>',
  'PHPSESSID=abc; JSESSIONID=0123; ASP.NET_SessionId=x; <session>',
  'token=eyJhbGciOiJub25lIn0.e30.; <session>',
  'json={"a":"b","c":[1,2]}; <session>',
  'json=%7B%22a%22%3A1%7D; <session>',
  'quoted="a;b"; <session>',
  'quoted="a; <session>',
  'a="b\\"c"; <session>',
  'percent=%; <session>; percent2=%zz; percent3=%E0%A4%A',
  'euro=\xe2\x82\xac; <session>',
  'latin=\xe9\xff; <session>',
  'a=b, <session>',
  'a=b,c=d; <session>',
  'a=b\t; <session>',
  '$Version=1; <session>; $Path=/; $Domain=x',
  'expires=Thu, 01 Jan 1970 00:00:00 GMT; <session>; path=/; httponly; secure',
  `${'a=b; '.repeat(500)}<session>`,
  `big=${'x'.repeat(8_000)}; <session>`,
  `${'='.repeat(2_000)}; <session>`,
  `${';'.repeat(2_000)}<session>`,
  `${' '.repeat(2_000)}<session>`,
  `${'"'.repeat(2_000)}; <session>`,
  'session; <session>',
  'Session=x; <session>',
  'xsession=x; <session>; sessionx=y',
  'session[]=x; <session>',
  '__Host-session=x; __Secure-session=y; <session>',
];

/** What may stand in X-Forwarded-For, or at the place of an address. */
export const FORWARDED_FOR: readonly string[] = [
  '203.0.113.7',
  '203.0.113.7, 198.51.100.1',
  '203.0.113.7,198.51.100.1,192.0.2.1',
  '203.0.113.7:51008',
  '[2001:db8::1]:443',
  '[2001:db8::1]',
  '2001:db8::1',
  '2001:DB8:0:0:0:0:0:1',
  '::ffff:203.0.113.7',
  '::1',
  '::',
  'fe80::1%eth0',
  '127.0.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '256.256.256.256',
  '203.0.113',
  '203.0.113.7.8',
  '0x7f.1',
  '0177.0.0.1',
  '2130706433',
  'unknown',
  '_hidden',
  'for=203.0.113.7',
  '"[2001:db8::1]:443"',
  'localhost',
  'example.com',
  '-',
  ',',
  ', ,',
  ',203.0.113.7',
  '203.0.113.7,',
  ' 203.0.113.7 ',
  '203.0.113.7\t',
  '203.0.113.7 198.51.100.1',
  '203.0.113.7;198.51.100.1',
  '203.0.113.7/32',
  "203.0.113.7' OR '1'='1",
  '<script>alert(1)</script>',
  '${jndi:ldap://127.0.0.1/a}',
  '../../etc/passwd',
  '%0d%0a',
  '\xe2\x82\xac',
  '1'.repeat(4_000),
  ':'.repeat(2_000),
  '['.repeat(2_000),
  `${'203.0.113.7, '.repeat(300)}203.0.113.7`,
];

const TAB = 9;
const SPACE = 32;
const DELETE = 127;

/** A text as Node takes it for the value of a header: its UTF-8 bytes, without those that end a header. */
export function asHeaderValue(text: string): string {
  const bytes = Buffer.from(text).filter((byte) => byte === TAB || (byte >= SPACE && byte !== DELETE));
  return Buffer.from(bytes).toString('latin1');
}
