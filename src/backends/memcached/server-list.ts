import { isIPv4, isIPv6 } from 'node:net';

/** For SASL. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

interface ServerEntry extends Partial<Credentials> {
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 11211;
const LAST_PORT = 65_535;
const LONGEST_NAME = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const PORT = /^[1-9]\d{0,4}$/;
const HOW = 'write host:port or user:password@host:port; a password with a comma goes into the option password';

/**
 * The servers in a text such as `host:port,user:password@host:port`.
 *
 * @param fallback for those that name none
 * @throws TypeError that says which one cannot work and why, without a word of the text, which may hold passwords
 */
export function parseServers(text: string, fallback: Credentials | null): ServerEntry[] {
  return text.split(',').map((entry, index) => {
    const server = parseServer(entry.trim(), fallback);
    if (typeof server !== 'string') return server;
    throw new TypeError(
      `servers is a list of host:port, separated by commas, and number ${index + 1} cannot work: ${server}; ${HOW}.`,
    );
  });
}

/** Why nothing can listen there, without the text; null: something can. */
export function faultOfAddress(host: unknown, port: unknown): string | null {
  if (typeof host !== 'string' || !isHost(host)) {
    return 'its host is no address, and no name of letters, digits, hyphens and dots (an international one begins with xn--)';
  }
  const isPort = Number.isInteger(port) && (port as number) >= 1 && (port as number) <= LAST_PORT;
  return isPort ? null : `its port is no number from 1 to ${LAST_PORT}`;
}

export function isCredential(value: unknown): value is string {
  // eslint-disable-next-line no-control-regex -- SASL PLAIN separates its parts by NUL
  return typeof value === 'string' && /^[^\0-\x1f\x7f]+$/.test(value);
}

/** The server in one entry, or why it cannot work. */
function parseServer(entry: string, fallback: Credentials | null): ServerEntry | string {
  if (entry === '') return 'it is empty';
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(entry)) return 'it is a URL';
  const at = entry.lastIndexOf('@');
  const credentials = at < 0 ? fallback : parseCredentials(entry.slice(0, at));
  if (credentials === undefined) return 'its user or its password is missing';
  const address = parseAddress(entry.slice(at + 1));
  return typeof address === 'string' ? address : { ...address, ...credentials };
}

function parseCredentials(text: string): Credentials | undefined {
  const colon = text.indexOf(':');
  const [username, password] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)];
  return isCredential(username) && isCredential(password) ? { username, password } : undefined;
}

function parseAddress(text: string): { readonly host: string; readonly port: number } | string {
  if (/[/\\]/.test(text)) return 'it is a path';
  if (isIPv6(text)) return 'an IPv6 address stands in brackets, as in [::1]:11211';
  const [, bracketed, name = '', portText] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined && !isIPv6(bracketed)) return 'there is no IPv6 address in its brackets';
  const host = (bracketed ?? name).toLowerCase();
  const port = portText === undefined ? DEFAULT_PORT : PORT.test(portText) ? Number(portText) : NaN;
  return faultOfAddress(host, port) ?? { host, port };
}

function isHost(host: string): boolean {
  if (isIPv4(host) || isIPv6(host)) return true;
  const labels = host.replace(/\.$/, '').split('.');
  // What ends in a number would be taken for an IPv4 address.
  const isNumber = /^\d+$/.test(labels[labels.length - 1] ?? '');
  return host.length <= LONGEST_NAME && !isNumber && labels.every((label) => LABEL.test(label));
}
