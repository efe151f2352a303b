import type { FlashMessage } from 'nestjs-sessionx';

/** What a session must be, as a model keeps it that knows no store. */
export interface ModelSession {
  readonly userId: string | null;
  token: string;
  id: string;
  data: Record<string, unknown>;
  flash: string[];
  expiresAt: number;
  ended: boolean;
}

/** All sessions that a run has made, and the rules by which they live: the plainest program that keeps the promises. */
export class SessionModel {
  readonly sessions: ModelSession[] = [];

  constructor(
    private readonly now: () => number,
    private readonly ttlMs: number,
  ) {}

  add(userId: string | null, { id, token }: { readonly id: string; readonly token: string }): void {
    const expiresAt = this.now() + this.ttlMs;
    this.sessions.push({ userId, token, id, data: {}, flash: [], expiresAt, ended: false });
  }

  isAlive({ ended, expiresAt }: ModelSession): boolean {
    return !ended && expiresAt > this.now();
  }

  /** Puts off the expiry, as a renewal does. */
  renew(session: ModelSession): void {
    session.expiresAt = Math.max(session.expiresAt, this.now() + this.ttlMs);
  }

  /** Ends `session` and makes its successor. */
  regenerate(session: ModelSession, next: { readonly id: string; readonly token: string }): void {
    const { userId, data, flash } = session;
    session.ended = true;
    this.add(userId, next);
    Object.assign(this.sessions.at(-1)!, { data: { ...data }, flash: [...flash] });
  }

  ofUser(userId: string): ModelSession[] {
    return this.sessions.filter((session) => session.userId === userId && this.isAlive(session));
  }
}

export const messagesOf = (messages: readonly FlashMessage[]) => messages.map(({ message }) => message);
