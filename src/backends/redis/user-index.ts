import { NewerRecordError } from '../../records/record-errors.js';
import { tryDecodeRecord } from '../../records/record-text.js';
import type { SessionRecord } from '../../records/session-record.js';
import { memberOf, type SessionId, type UserTag } from '../../tokens/session-secret.js';
import { isListed } from '../backend-rules.js';
import type { SessionLimit } from '../session-backend.interface.js';
import { flag } from './redis-arguments.js';
import type { RedisScripts } from './redis-scripts.js';
import { ENDING } from './scripts/script-parts.js';

/** What became of an attempt to make room for one more session. */
interface RoomResult {
  readonly outcome: 'room' | 'limit' | 'late';
  /** The living sessions that it ended. */
  readonly evicted: readonly SessionId[];
}

/**
 * All sessions of one user, part by part: no script looks at more than some hundred of them, because Redis serves no other client meanwhile.
 *
 * A log-out everywhere of a user with more sessions than that moves the index to a second name in one step and ends what is there part by
 * part. A session that is made after that step is in the new index, and stays. One that has not been ended yet can be used, is listed, and
 * counts for the limit; so nothing is lost when the process dies meanwhile, and the next log-out everywhere ends the rest.
 */
export class UserIndex {
  constructor(
    private readonly scripts: RedisScripts,
    private readonly key: string,
    private readonly tag: UserTag,
    readonly now: () => number,
  ) {}

  /**
   * The living records.
   *
   * @param settles whether none may be left out because it gets a new id meanwhile
   * @param progress called after each part
   */
  async list(settles: boolean, progress: () => void): Promise<SessionRecord[]> {
    const found = new Map<SessionId, SessionRecord>();
    const { isEnding, parts } = await this.#listSet('', found, progress);
    // Sessions move from the index, and what is made meanwhile is entered there: so it is looked at again in the end.
    if (isEnding) await this.#listSet(ENDING, found, progress);
    // One that gets a new id between two parts may be in neither of them.
    if (isEnding || (settles && parts > 1)) await this.#listSet('', found, progress);
    return [...found.values()];
  }

  /**
   * Ends all but `except`. Another log-out everywhere that is under way and does not spare it ends it too.
   *
   * @param progress called after each part
   * @returns the active, unexpired ones among those that it ended
   * @throws NewerRecordError when one of them is of a newer form
   */
  async endAll(except: SessionId | undefined, progress: () => void): Promise<SessionId[]> {
    const keep = except?.startsWith(this.tag) === true ? memberOf(except) : '';
    const ended: SessionId[] = [];
    const goesOn = () => {
      progress();
      return true;
    };
    for (;;) {
      const [outcome, ...members] = await this.scripts.sessionxDeleteByUser(this.key, [keep, this.now()]);
      this.#add(members, ended);
      switch (outcome) {
        case 'ended':
          return ended;
        case 'moved':
          await this.sweep(ended, goesOn);
          return ended;
        case 'unfinished':
          await this.sweep(ended, goesOn);
          break;
        case 'newer':
          throw new NewerRecordError();
        default:
          outcome satisfies never;
      }
    }
  }

  /**
   * Ends what a log-out everywhere has moved away: this one, another one, or an earlier one that was cut off. That cannot be told, so it spares
   * none.
   *
   * @param ended takes the active, unexpired ones among those that it ended
   * @param goesOn called after each part; false: the rest is left
   * @returns whether nothing is left
   * @throws NewerRecordError when one of them is of a newer form
   */
  async sweep(ended: SessionId[], goesOn: () => boolean): Promise<boolean> {
    for (;;) {
      const [outcome, ...members] = await this.scripts.sessionxSweep(this.key, [this.now()]);
      this.#add(members, ended);
      switch (outcome) {
        case 'done':
          return true;
        case 'more':
          if (!goesOn()) return false;
          break;
        case 'newer':
          throw new NewerRecordError();
        default:
          outcome satisfies never;
      }
    }
  }

  /**
   * Ends sessions until a limit leaves room for one more: first what a log-out everywhere has not ended yet, then the expired ones, then the
   * least recently used ones.
   *
   * @param keep the member of a session that does not count and stays, or ''
   * @param isOver whether the time for it is up
   * @returns `limit`: the limit rejects one more
   * @throws NewerRecordError when one of them is of a newer form
   */
  async makeRoom({ max, onLimit }: SessionLimit, keep: string, isOver: () => boolean): Promise<RoomResult> {
    const evicted: SessionId[] = [];
    if (isOver() || !(await this.sweep(evicted, () => !isOver()))) return { outcome: 'late', evicted };
    const rejects = flag(onLimit === 'reject');
    while (!isOver()) {
      const [outcome, ...members] = await this.scripts.sessionxEvict(this.key, [max, rejects, keep, this.now()]);
      this.#add(members, evicted);
      switch (outcome) {
        case 'room':
          return { outcome, evicted };
        case 'more':
          break;
        case 'full':
          return { outcome: 'limit', evicted };
        case 'newer':
          throw new NewerRecordError();
        default:
          outcome satisfies never;
      }
    }
    return { outcome: 'late', evicted };
  }

  /** @returns whether a log-out everywhere has moved something away, and how many parts it took */
  async #listSet(
    set: string,
    found: Map<SessionId, SessionRecord>,
    progress: () => void,
  ): Promise<{ readonly isEnding: boolean; readonly parts: number }> {
    let isEnding = false;
    let parts = 0;
    let cursor = '0';
    do {
      const [next, ending, ...entries] = await this.scripts.sessionxListByUser(this.key, [set, cursor, this.now()]);
      cursor = next;
      if (ending === '1') isEnding = true;
      for (let position = 0; position < entries.length; position += 2) {
        const [member = '', text = ''] = entries.slice(position, position + 2);
        // What is no record of ours is no session either; reading it by its id reports it.
        const record = tryDecodeRecord((this.tag + member) as SessionId, text);
        if (record !== null && isListed(record)) found.set(record.id, record);
      }
      parts++;
      progress();
    } while (cursor !== '0');
    return { isEnding, parts };
  }

  #add(members: readonly string[], ids: SessionId[]): void {
    for (const member of members) ids.push((this.tag + member) as SessionId);
  }
}
