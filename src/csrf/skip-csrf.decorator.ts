import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const SKIP_CSRF = Symbol.for('nestjs-sessionx:skip-csrf');

/**
 * Takes a route, or a controller, out of the protection against cross-site requests (`enableCsrf`): any site can then make a signed-in
 * browser send it. Use it for requests that prove their origin in another way, such as a signed form post of an identity provider.
 *
 * It has an effect where `SessionGuard`, `@UseSession()` or a session decorator makes the route known. On a `@Public()` route the guard does not.
 */
export function SkipCsrf(): CustomDecorator<symbol> {
  return SetMetadata(SKIP_CSRF, true);
}
