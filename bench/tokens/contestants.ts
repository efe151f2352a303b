import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock, TokenSerializer } from 'nestjs-sessionx';

const KEY = 'a key for measurements only, 0123456789 0123456789';
const NAMESPACE = 'session:';
const SECRET_BYTES = 36;
const TOKENS = 20_000;

/** The parts of the package that applications meet only through the module. */
interface Internals {
  readonly SimpleTokenSerializer: new (options: { keys: string[]; namespace: string }) => TokenSerializer;
  readonly TokenVerifier: new (
    serializer: TokenSerializer,
    clock: Clock,
  ) => { verify(token: string): { readonly valid: boolean } };
}

/** One line of the table: `check` returns whether a token is genuine; `genuine` is the expected result for all `tokens`. */
export interface Contestant {
  readonly label: string;
  readonly tokens: readonly string[];
  readonly genuine: boolean;
  readonly check: (token: string) => boolean;
  /** Called before each round, to clear what earlier rounds have cached. */
  readonly reset?: () => void;
}

async function internals(): Promise<Internals> {
  const load = (path: string) => import(new URL(`../../esm/tokens/${path}`, import.meta.url).href);
  return { ...(await load('simple-token.serializer.js')), ...(await load('token-verifier.js')) } as Internals;
}

export async function contestants(): Promise<readonly [floor: Contestant, ...others: Contestant[]]> {
  const { SimpleTokenSerializer, TokenVerifier } = await internals();
  const serializer = new SimpleTokenSerializer({ keys: [KEY], namespace: NAMESPACE });
  const newVerifier = () => new TokenVerifier(serializer, { now: () => Date.now() });

  const genuine = make(() => serializer.serialize({ secret: newSecret(), issuedAt: Date.now() } as never) as string);
  // Half of the verifier's memory, so that all of them stay in it.
  const remembered = genuine.slice(0, 5_000);
  const forged = genuine.map((token) => token.slice(0, token.indexOf('.') + 1) + randomBytes(32).toString('base64url'));
  const malformed = make(() => randomBytes(75).toString('base64url'));

  let verifier = newVerifier();
  const knowing = newVerifier();
  for (const token of remembered) knowing.verify(token);

  const serializerAccepts = (token: string) => (serializer.verify(token) as { valid: boolean }).valid;
  const verifierAccepts = (token: string) => verifier.verify(token).valid;
  const reset = () => {
    verifier = newVerifier();
  };
  return [
    { label: 'FLOOR: bare HMAC + timingSafeEqual', tokens: forged, genuine: false, check: bareCheck() },
    { label: 'forged, serializer', tokens: forged, genuine: false, check: serializerAccepts },
    { label: 'forged, verifier', tokens: forged, genuine: false, check: verifierAccepts },
    { label: 'malformed, serializer', tokens: malformed, genuine: false, check: serializerAccepts },
    { label: 'malformed, verifier', tokens: malformed, genuine: false, check: verifierAccepts },
    { label: 'genuine, serializer', tokens: genuine, genuine: true, check: serializerAccepts },
    { label: 'genuine, verifier, first sight', tokens: genuine, genuine: true, check: verifierAccepts, reset },
    {
      label: 'genuine, verifier, remembered',
      tokens: remembered,
      genuine: true,
      check: (token) => knowing.verify(token).valid,
    },
  ];
}

/** The cost of one MAC in node:crypto over as many bytes as in a token, without parsing. */
function bareCheck(): (token: string) => boolean {
  const key = createSecretKey(KEY, 'utf8');
  const bytes = randomBytes(`nestjs-sessionx/session-token/v1\0${NAMESPACE}\0`.length + 56);
  const tokenMac = randomBytes(32);
  return () => timingSafeEqual(tokenMac, createHmac('sha256', key).update(bytes).digest());
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function make(one: () => string): string[] {
  return Array.from({ length: TOKENS }, one);
}
