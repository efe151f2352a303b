import { BlockList, isIP, SocketAddress } from 'node:net';

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
/** Longer than any address with a zone and a port. */
const LONGEST_SPELLING = 128;
/** RFC 7239, section 4: quoted where it has a colon. */
const QUOTED = /^"(.*)"$/;
/** RFC 3986, section 3.2.2. */
const BRACKETED = /^\[([^\]]*)\](?::(?:\d{1,5}|_[\w.-]+))?$/;
/** RFC 7239, section 6.2: a number, or a name that begins with an underscore. */
const WITH_PORT = /^(.+):(?:\d{1,5}|_[\w.-]+)$/;
/** RFC 6874: the percent sign may be percent-encoded. */
const ZONE = /%[\w.~-]+$/;

/**
 * Reads an address as frameworks and proxies write it: with a port (Azure), in brackets or quotes, with a zone.
 *
 * @returns one spelling for each address: IPv4-mapped IPv6 as IPv4 (a dual-stack socket shows IPv4 clients so), IPv6 compressed and in lower
 * case, without a zone. `null` if it is not an address, such as `unknown`, or one that is read in two ways, such as `010.0.0.1`.
 */
export function normaliseIp(spelling: string): string | null {
  // Most addresses are plain, and each request of a bound session is checked here.
  if (isIP(spelling) === 4) return spelling;
  if (spelling.length > LONGEST_SPELLING) return null;
  const trimmed = spelling.trim();
  const unquoted = QUOTED.exec(trimmed)?.[1]?.trim() ?? trimmed;
  const bracketed = BRACKETED.exec(unquoted)?.[1];
  if (bracketed !== undefined) return canonicalIp(bracketed);
  // An IPv6 address may end like a port, so it comes first.
  return canonicalIp(unquoted) ?? canonicalIp(WITH_PORT.exec(unquoted)?.[1] ?? '');
}

function canonicalIp(text: string): string | null {
  const bare = text.includes(':') ? text.replace(ZONE, '') : text;
  const candidate = MAPPED_IPV4.exec(bare)?.[1] ?? bare;
  switch (isIP(candidate)) {
    case 4:
      return candidate;
    case 6: {
      const canonical = new SocketAddress({ address: candidate, family: 'ipv6' }).address;
      return MAPPED_IPV4.exec(canonical)?.[1] ?? canonical;
    }
    default:
      return null;
  }
}

/** Whether two normalised addresses lie in one network of the given prefix. An IPv4 and an IPv6 address never do. */
export function inSameNetwork(
  a: string,
  b: string,
  prefixes: { readonly ipv4: number; readonly ipv6: number },
): boolean {
  if (a === b) return true;
  const version = isIP(a);
  if (version === 0 || version !== isIP(b)) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const network = new BlockList();
  network.addSubnet(a, prefixes[family], family);
  return network.check(b, family);
}
