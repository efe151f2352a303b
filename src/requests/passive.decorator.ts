import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export const PASSIVE = Symbol.for('nestjs-sessionx:passive');

/**
 * Marks a route, or a controller, whose requests are no use of the session, such as a poll that a page sends by itself: the session is read and
 * not renewed, and the client keeps its token. What the handler changes is stored. ASVS 7.3.1. See also the option `passive`.
 *
 * It has an effect where `SessionGuard`, `@UseSession()` or a session decorator makes the route known.
 */
export function Passive(): CustomDecorator<symbol> {
  return SetMetadata(PASSIVE, true);
}
