import type { StoredFlashMessage } from './flash-message.js';
import { withOneTimeValue, type StoredOneTimeValue } from './one-time-value.js';
import type { SessionUser } from './session-user.js';
import { withMetadata, type SessionContent } from './payload.js';
import type { StoredPayload } from './stored-payload.js';

/** One step of a change set. Steps speak of single keys, so that two requests that change different keys both get their way. */
export type Change =
  | { readonly op: 'set'; readonly key: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly key: string }
  | { readonly op: 'set-user-field'; readonly field: string; readonly value: unknown }
  | { readonly op: 'remove-user-field'; readonly field: string }
  | { readonly op: 'add-flash'; readonly message: StoredFlashMessage }
  | { readonly op: 'take-flash'; readonly id: string }
  | { readonly op: 'return-flash'; readonly messages: readonly StoredFlashMessage[] }
  | { readonly op: 'put-one-time'; readonly added: StoredOneTimeValue; readonly now: number }
  | { readonly op: 'take-one-time'; readonly name: string }
  | { readonly op: 'set-lifetime'; readonly ttlMs: number; readonly absoluteExpiresAt: number | null };

/** `content` with `changes` made, in order. Pure: neither argument is touched, and the same arguments give the same result. */
export function apply(content: StoredPayload, changes: readonly Change[]): SessionContent {
  let { metadata, user, flash, oneTime } = content;
  const data = new Map(Object.entries(content.data));
  for (const change of changes) {
    switch (change.op) {
      case 'set':
        data.set(change.key, change.value);
        break;
      case 'remove':
        data.delete(change.key);
        break;
      case 'set-user-field':
        user = user && withField(user, change.field, change.value);
        break;
      case 'remove-user-field':
        user = user && withoutField(user, change.field);
        break;
      case 'add-flash':
        // A commit whose response was lost may come again.
        if (!flash.some(({ id }) => id === change.message.id)) flash = [...flash, change.message];
        break;
      case 'take-flash':
        flash = flash.filter(({ id }) => id !== change.id);
        break;
      case 'return-flash':
        flash = withReturned(flash, change.messages);
        break;
      case 'put-one-time':
        oneTime = withOneTimeValue(oneTime, change.added, change.now);
        break;
      case 'take-one-time':
        oneTime = oneTime.filter(({ name }) => name !== change.name);
        break;
      case 'set-lifetime':
        metadata = withMetadata(metadata, { ttlMs: change.ttlMs, absoluteExpiresAt: change.absoluteExpiresAt });
        break;
      default:
        change satisfies never;
    }
  }
  const userText = user === content.user ? content.userText : JSON.stringify(user);
  return { metadata, userText, data: Object.fromEntries<unknown>(data), flash, oneTime };
}

/** `messages` among those that are stored, oldest first; both keep their own order, whatever the clocks of their writers said. */
export function withReturned(
  stored: readonly StoredFlashMessage[],
  messages: readonly StoredFlashMessage[],
): readonly StoredFlashMessage[] {
  const known = new Set(stored.map(({ id }) => id));
  const returned = messages.filter(({ id }) => !known.has(id));
  const later = [...stored];
  const merged: StoredFlashMessage[] = [];
  for (const message of returned) {
    while (later[0] !== undefined && later[0].timestamp < message.timestamp) merged.push(...later.splice(0, 1));
    merged.push(message);
  }
  return [...merged, ...later];
}

function withField(user: SessionUser, field: string, value: unknown): SessionUser {
  return { ...user, [field]: value };
}

function withoutField(user: SessionUser, field: string): SessionUser {
  const rest = { ...user };
  Reflect.deleteProperty(rest, field);
  return rest;
}
