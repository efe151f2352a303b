import type { Session } from './session.js';

/** A session, and what the client is to be given of it. */
export interface AnsweredSession {
  readonly session: Session;
  /** Null: the client has it by other means, such as a cookie. */
  readonly token: string | null;
  /** For the pages of the client (`enableCsrf`); null: nothing asks for one, as the token is not in a cookie. */
  readonly csrfToken: string | null;
}
