/** To the process that serves. `open` makes sessions, `memory` collects garbage first, `end` logs the user out everywhere. */
export interface LiveMessage {
  readonly ask: 'open' | 'memory' | 'end';
  readonly count?: number;
}

export type LiveReply =
  | { readonly port: number }
  | { readonly tokens: readonly string[] }
  | { readonly bytes: number }
  | { readonly ended: number };
