/** A message that is handed out once, usually on the next page. */
export interface FlashMessage {
  readonly message: string;
  /** Default `'info'`. */
  readonly category: string;
  /** When it was left. */
  readonly timestamp: Date;
}

/** A flash message as stored. */
export interface StoredFlashMessage {
  /** 12 characters of base64url. To take a message is to remove this id, which only one taker can. */
  readonly id: string;
  readonly message: string;
  readonly category: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
}

export function toFlashMessage({ message, category, timestamp }: StoredFlashMessage): FlashMessage {
  return { message, category, timestamp: new Date(timestamp) };
}
