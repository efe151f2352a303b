import { stringifySetCookie } from 'cookie';

import { hasHostPrefix, hasSecurePrefix } from '../options/cookie-attributes.js';
import type { SessionCookieOptions } from '../options/session-cookie-options.js';

/** The attributes by which a browser distinguishes cookies of one name: a `Set-Cookie` replaces or clears only the one with the same. */
interface CookieForm {
  readonly name: string;
  /** undefined: only the host that sets it. */
  readonly domain: string | undefined;
  readonly path: string;
  readonly partitioned: boolean;
}

/** The `Set-Cookie` lines that clear cookies which another configuration may have set. */
export interface OtherForms {
  /** For the present name: all forms except the present one. */
  readonly ofOurName: readonly string[];
  /** For former names, by name. */
  readonly byFormerName: ReadonlyMap<string, readonly string[]>;
}

export function otherFormsOf(options: SessionCookieOptions): OtherForms {
  const { name, domain, path, partitioned } = options;
  const lines = new Map([[keyOf({ name, domain, path, partitioned }), '']]);
  const byName = new Map<string, string[]>([[name, []]]);
  for (const form of formsOf(options)) {
    const key = keyOf(form);
    if (lines.has(key)) continue;
    const line = clearingLine(form, options);
    lines.set(key, line);
    byName.set(form.name, [...(byName.get(form.name) ?? []), line]);
  }
  const ofOurName = byName.get(name) ?? [];
  byName.delete(name);
  return { ofOurName, byFormerName: byName };
}

function formsOf({ name, domain, path, secure, former = [] }: SessionCookieOptions): CookieForm[] {
  return [{}, ...former].flatMap((known) => {
    const formName = known.name ?? name;
    const isOfHost = hasHostPrefix(formName);
    const domains = known.domain === undefined ? [undefined, domain] : [known.domain];
    // Browsers accept Partitioned only with Secure, so without TLS there is none to clear.
    const partitions = known.partitioned === undefined ? [false, ...(secure ? [true] : [])] : [known.partitioned];
    return (isOfHost ? [undefined] : domains).flatMap((formDomain) =>
      partitions.map((partitioned) => ({
        name: formName,
        domain: formDomain,
        path: isOfHost ? '/' : (known.path ?? path),
        partitioned,
      })),
    );
  });
}

/** With the attributes without which a browser ignores the line: those of the name's prefix, and those for a page in a frame of another site. */
function clearingLine(form: CookieForm, { secure, sameSite }: SessionCookieOptions): string {
  const { name, domain, path, partitioned } = form;
  const isSecure = secure || partitioned || hasSecurePrefix(name);
  return stringifySetCookie({
    name,
    value: '',
    maxAge: 0,
    ...(domain === undefined ? {} : { domain }),
    path,
    expires: new Date(0),
    httpOnly: true,
    secure: isSecure,
    partitioned,
    sameSite: isSecure ? 'none' : sameSite,
  });
}

function keyOf({ name, domain, path, partitioned }: CookieForm): string {
  return JSON.stringify([name, domain?.toLowerCase(), path, partitioned]);
}
