import { jsonTextOf } from '../records/json-value.js';
import { changedKeys, mergeInto, replaceIn, type KeyChange } from './object-changes.js';
import { ObjectPicture } from './object-picture.js';

/** `user` or `data` of a session as its holder has it, and the JSON text in which it is stored. */
export class HeldPart<T extends object> {
  /** @param picture of the object when its text was `text`; null: none was taken */
  private constructor(
    readonly object: T,
    readonly text: string,
    private readonly picture: ObjectPicture | null = null,
  ) {}

  /** @param object what was parsed from `text` and has no other user */
  static handedOut<T extends object>(object: T, text: string): HeldPart<T> {
    return new HeldPart(object, text, new ObjectPicture(object));
  }

  /** Whether the holder has surely changed nothing. False: perhaps, which the JSON text tells. */
  get isUntouched(): boolean {
    return this.picture?.isUnchanged() ?? false;
  }

  /** The JSON text of the object as it is now. `check` makes it, unless the object has not changed. */
  textBy(check: (object: T) => string): string {
    return this.isUntouched ? this.text : check(this.object);
  }

  /** The top-level keys in which `text`, the object as it is now, differs from what is stored. */
  changedKeys(text: string): readonly KeyChange[] {
    return text === this.text ? [] : changedKeys(this.text, text);
  }

  /** Called after the object was stored as `text`. */
  storedAs(text: string): HeldPart<T> {
    return text === this.text ? this : new HeldPart(this.object, text);
  }

  /**
   * Called after a part of what the holder has changed was stored, by which the object became `next`. What was changed since it was
   * `beforeText` stays.
   */
  mergedWith(beforeText: string, next: T, nextText: string): HeldPart<T> {
    return new HeldPart(mergeInto(this.object, beforeText, next), nextText);
  }

  /** Called after `next` has taken its place, whatever the holder has changed. */
  replacedBy(next: T, nextText: string): HeldPart<T> {
    return new HeldPart(replaceIn(this.object, next), nextText);
  }

  /** What the holder sees, as a text to compare; null: something that cannot be stored, or is longer than `mostChars`. */
  visibleText(mostChars: number): string | null {
    const text = jsonTextOf(this.object, mostChars);
    // The stored text may be spelled in another way, with spaces or a key twice.
    return text !== null && this.changedKeys(text).length === 0 ? this.text : text;
  }
}
