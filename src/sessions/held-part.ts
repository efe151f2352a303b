import { jsonTextOf } from '../records/json-value.js';
import { changedKeys, mergeInto, replaceIn, type KeyChange } from './object-changes.js';
import { ObjectPicture } from './object-picture.js';

/** `user` or `data` of a session as its holder sees it, and the JSON text in which it is stored. */
export class HeldPart<T extends object> {
  /** @param picture of the object when its text was `text`; `null` if none was taken */
  private constructor(
    readonly object: T,
    readonly text: string,
    private readonly picture: ObjectPicture | null = null,
  ) {}

  /** @param object parsed from `text`, and not referenced by other code */
  static handedOut<T extends object>(object: T, text: string): HeldPart<T> {
    return new HeldPart(object, text, new ObjectPicture(object));
  }

  /** Whether it is certain that the holder has changed nothing. If `false`, compare the JSON text. */
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
   * Called after some changes of the holder were stored, which made the stored object `next`. Changes made after `beforeText` was computed
   * are kept.
   */
  mergedWith(beforeText: string, next: T, nextText: string): HeldPart<T> {
    return new HeldPart(mergeInto(this.object, beforeText, next), nextText);
  }

  /** Called after `next` has replaced the object. Changes of the holder are discarded. */
  replacedBy(next: T, nextText: string): HeldPart<T> {
    return new HeldPart(replaceIn(this.object, next), nextText);
  }

  /** The content that the holder sees, as text for comparison; `null` if it cannot be stored, or is longer than `mostChars`. */
  visibleText(mostChars: number): string | null {
    const text = jsonTextOf(this.object, mostChars);
    // The stored text may differ in spelling, for example by spaces or a duplicate key.
    return text !== null && this.changedKeys(text).length === 0 ? this.text : text;
  }
}
