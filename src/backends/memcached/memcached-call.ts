import type { Response } from 'memjs';

import { Wait, type Waits } from '../waits.js';
import { OPCODES, type BinaryRequest } from './binary-request.js';
import { MemcachedError } from './memcached-error.js';
import type { MemcachedLink } from './memcached-link.js';

/** After this part of its time a read that has received nothing at all is sent by a fresh connection too. */
const SILENT_PART = 1 / 3;

export interface CallContext {
  readonly timeoutMs: number;
  /** The calls of one connection, on one timer. */
  readonly waits: Waits;
  /** Another connection than `doubtful`, on which the next calls go too; null: there is none to be had now. */
  readonly freshLink: (doubtful: MemcachedLink) => MemcachedLink | null;
  readonly onSuccess: () => void;
  readonly onFailure: (error: Error) => void;
}

/**
 * One call: requests that are sent together. A connection that was good and now says nothing at all, or breaks without a word, may be one that the network has forgotten: a
 * read then gets a second try, on a fresh one. A write never does, as the server may have carried it out.
 */
export class MemcachedCall extends Wait {
  readonly #silentMs: number;
  #link: MemcachedLink | undefined;
  #bytesReceived = 0;
  #isListening = false;
  #isOver = false;
  #underWay = 0;
  #hasSecondTry = false;

  constructor(
    private readonly requests: readonly BinaryRequest[],
    private readonly context: CallContext,
    private readonly resolve: (responses: readonly Response[]) => void,
    private readonly reject: (error: Error) => void,
  ) {
    super(Infinity);
    this.#silentMs = context.timeoutMs * SILENT_PART;
  }

  begin(link: MemcachedLink): void {
    const { timeoutMs } = this.context;
    const received = link.bytesReceived;
    this.#link = link;
    this.#bytesReceived = received;
    this.#hasSecondTry = link.isProven && this.requests.every(isRead);
    this.#isListening = this.#hasSecondTry;
    this.endsAt = performance.now() + (this.#hasSecondTry ? this.#silentMs : timeoutMs);
    this.context.waits.add(this);
    this.#underWay++;
    link.send(this.requests, (error, responses) => {
      this.#underWay--;
      if (this.#isOver) return;
      if (responses !== null) this.#succeed(responses);
      else if (!this.#isSilent(link, received) || !this.#tryAgain(link)) this.#fail(error);
    });
  }

  /** The first part of the time is over, or all of it. */
  override giveUp(): void {
    const link = this.#link;
    if (link === undefined) return;
    if (this.#isListening) this.#listen(link, this.#bytesReceived);
    else this.#expire(link);
  }

  #listen(link: MemcachedLink, received: number): void {
    this.#isListening = false;
    this.endsAt = performance.now() + this.context.timeoutMs - this.#silentMs;
    this.context.waits.add(this);
    if (this.#isSilent(link, received)) this.#tryAgain(link);
  }

  #isSilent(link: MemcachedLink, received: number): boolean {
    return this.#hasSecondTry && link.bytesReceived === received;
  }

  #tryAgain(doubtful: MemcachedLink): boolean {
    this.#hasSecondTry = false;
    const fresh = this.context.freshLink(doubtful);
    if (fresh === null) return false;
    this.#underWay++;
    fresh.send(this.requests, (error, responses) => {
      this.#underWay--;
      if (this.#isOver) return;
      if (responses === null) {
        this.#fail(error);
        return;
      }
      this.#succeed(responses);
      // The server is there. What is still under way on the other connection gets as long again as it was silent.
      setTimeout(() => doubtful.discard(), this.#silentMs).unref();
    });
    return true;
  }

  #expire(link: MemcachedLink): void {
    this.#underWay = 0;
    this.#fail(new MemcachedError('NO_RESPONSE', 'Memcached did not respond in time.'));
    link.discard();
  }

  #succeed(responses: readonly Response[]): void {
    this.#end();
    this.context.onSuccess();
    this.resolve(responses);
  }

  /** Unless the other try may still succeed. */
  #fail(error: Error | null): void {
    if (this.#underWay > 0 || error === null) return;
    this.#end();
    this.context.onFailure(error);
    this.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.context.waits.remove(this);
  }
}

function isRead({ opcode }: BinaryRequest): boolean {
  return opcode === OPCODES.getWithKey || opcode === OPCODES.noop;
}
