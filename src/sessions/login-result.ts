import type { Session } from './session.js';

/** What `login()`, `start()` and `regenerateSessionId()` return: the session, and what the client needs of it. */
export interface LoginResult {
  readonly session: Session;
  /** Null: the client gets it in a cookie, where no script can read it. */
  readonly token: string | null;
  /** For the pages of the client (`enableCsrf`); null: none is needed, because the token is not in a cookie. */
  readonly csrfToken: string | null;
}
