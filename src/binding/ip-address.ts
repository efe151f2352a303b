import { BlockList, isIP, SocketAddress } from 'node:net';

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * One spelling for each address: IPv4-mapped IPv6 as IPv4 (a dual-stack socket shows IPv4 clients so), IPv6 compressed and in lower
 * case, without a zone. Null when it is not an address.
 */
export function normaliseIp(address: string): string | null {
  const [bare = ''] = address.split('%');
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
