import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const PUBLIC = Symbol.for('nestjs-sessionx:public');
export const ALLOW_ANONYMOUS = Symbol.for('nestjs-sessionx:allow-anonymous');
export const SKIP_CSRF = Symbol.for('nestjs-sessionx:skip-csrf');

/** Opens a route, or a controller, to everybody where `SessionGuard` is installed as `APP_GUARD`. */
export function Public(): CustomDecorator<symbol> {
  return SetMetadata(PUBLIC, true);
}

/** Lets a session without a user through `SessionGuard`; a session there must be. */
export function AllowAnonymous(): CustomDecorator<symbol> {
  return SetMetadata(ALLOW_ANONYMOUS, true);
}

/**
 * Takes a route, or a controller, out of the protection against cross-site requests (`enableCsrf`): any site can then make a signed-in
 * browser send it. For what proves its origin in another way, such as a signed form post of an identity provider.
 */
export function SkipCsrf(): CustomDecorator<symbol> {
  return SetMetadata(SKIP_CSRF, true);
}
