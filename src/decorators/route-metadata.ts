import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const PUBLIC = Symbol.for('nestjs-sessionx:public');
export const ALLOW_ANONYMOUS = Symbol.for('nestjs-sessionx:allow-anonymous');

/** Opens a route, or a controller, to everybody where `SessionGuard` is installed as `APP_GUARD`. */
export function Public(): CustomDecorator<symbol> {
  return SetMetadata(PUBLIC, true);
}

/** Lets a session without a user through `SessionGuard`; a session there must be. */
export function AllowAnonymous(): CustomDecorator<symbol> {
  return SetMetadata(ALLOW_ANONYMOUS, true);
}
