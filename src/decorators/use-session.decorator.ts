import { UseInterceptors } from '@nestjs/common';

import { SessionInterceptor } from '../session.interceptor.js';

/**
 * For routes that may or may not have a session, such as login and logout: loads one if there is one, and asks for nothing. Needed where
 * a handler calls `SessionService.login`, `logout`, `start` or `current` and neither a guard nor a session decorator stands on the route.
 */
export function UseSession(): MethodDecorator & ClassDecorator {
  return UseInterceptors(SessionInterceptor);
}
