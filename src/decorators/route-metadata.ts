import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const PUBLIC = Symbol.for('nestjs-sessionx:public');
export const ALLOW_ANONYMOUS = Symbol.for('nestjs-sessionx:allow-anonymous');

/** Lets every request pass `SessionGuard`, wherever that is. A role, a permission or a fresh proof that the route requires is required all the same. */
export function Public(): CustomDecorator<symbol> {
  return SetMetadata(PUBLIC, true);
}

/** Lets a session without a user through `SessionGuard`; a session there must be. */
export function AllowAnonymous(): CustomDecorator<symbol> {
  return SetMetadata(ALLOW_ANONYMOUS, true);
}
