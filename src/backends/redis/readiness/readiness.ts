import type { BackendContext } from '../../session-backend.interface.js';
import type { Finding, ReadinessCheck } from './readiness-check.js';

/** After which checks are run again without a new connection, milliseconds: the server may be mended while it runs. */
const REFUSED_PAUSE_MS = 2000;
const UNDETERMINED_PAUSE_MS = 5000;
const REPORTED_PAUSE_MS = 60_000;

const NOT_CONNECTED = 'Redis is not connected, or the connection has not been checked yet.';

/**
 * Whether the connection is the one that was requested, to a server that can keep the promises. The checks run one after the other when
 * the connection is ready, and again while one of them has found something; a request only looks at `refusal`.
 */
export class Readiness {
  #refusal: string | null = NOT_CONNECTED;
  #bootRefusal: string | null = null;
  #round = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #passed = new Set<ReadinessCheck>();
  readonly #undeterminedAt = new Map<ReadinessCheck, number>();
  readonly #findings = new Map<ReadinessCheck, Finding>();

  constructor(
    private readonly checks: readonly ReadinessCheck[],
    private readonly logger: BackendContext['logger'],
  ) {}

  /** Why calls must not be made now; null: they may. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /** Why the application must not start; null: nothing is known that forbids it. */
  get bootRefusal(): string | null {
    return this.#bootRefusal;
  }

  /** A connection is ready. Resolves when its checks have run, or another event has overtaken them. */
  async connected(): Promise<void> {
    const round = this.#newRound();
    let refusal: string | null = null;
    let pauseMs = Infinity;
    for (const check of this.checks) {
      if (this.#passed.has(check)) continue;
      if (this.#triedJustNow(check)) {
        pauseMs = Math.min(pauseMs, UNDETERMINED_PAUSE_MS);
        continue;
      }
      const finding = await check.run();
      if (round !== this.#round) return;
      this.#note(check, finding);
      switch (finding.outcome) {
        case 'passed':
        case 'unavailable':
          break;
        case 'undetermined':
          refusal = finding.refusal ?? null;
          pauseMs = Math.min(pauseMs, refusal === null ? UNDETERMINED_PAUSE_MS : REFUSED_PAUSE_MS);
          break;
        case 'failed':
          if (finding.effect !== 'reported') refusal = finding.report;
          if (finding.effect === 'boot-refused') this.#bootRefusal = finding.report;
          pauseMs = Math.min(pauseMs, finding.effect === 'reported' ? REPORTED_PAUSE_MS : REFUSED_PAUSE_MS);
          break;
        default:
          finding satisfies never;
      }
      // What the others would find might be true of another server.
      if (refusal !== null) break;
    }
    this.#refusal = refusal;
    if (pauseMs < Infinity) this.#timer = setTimeout(() => void this.connected(), pauseMs).unref();
  }

  /** The connection is gone; the next one may lead elsewhere. */
  disconnected(): void {
    this.#newRound();
    if (this.checks.some(({ gatesEachConnection }) => gatesEachConnection)) this.#refusal = NOT_CONNECTED;
  }

  /** Refuses calls until the next `connected()`. */
  refuse(report: string): void {
    this.#newRound();
    this.#refusal = report;
    this.logger.error(report);
  }

  /** Checks nothing any more. */
  stop(): void {
    this.#newRound();
  }

  #newRound(): number {
    clearTimeout(this.#timer);
    return ++this.#round;
  }

  /** A probe without a result is not repeated with each connection: while a server fails there may be many. */
  #triedJustNow(check: ReadinessCheck): boolean {
    if (check.runs === 'each-connection') return false;
    return performance.now() - (this.#undeterminedAt.get(check) ?? -Infinity) < UNDETERMINED_PAUSE_MS / 2;
  }

  /** Logs what changes, once. */
  #note(check: ReadinessCheck, finding: Finding): void {
    if (finding.outcome === 'undetermined') {
      this.#undeterminedAt.set(check, performance.now());
      return;
    }
    const before = this.#findings.get(check);
    this.#findings.set(check, finding);
    if (finding.outcome !== 'failed' && check.runs === 'until-passed') this.#passed.add(check);
    const isNew =
      before === undefined || !('report' in before && 'report' in finding && before.report === finding.report);
    switch (finding.outcome) {
      case 'passed':
        if (before?.outcome === 'failed') this.logger.log(check.mended);
        return;
      case 'failed':
        if (isNew) this.logger.error(finding.report);
        return;
      case 'unavailable':
        if (isNew) this.logger.warn(finding.report);
        return;
      default:
        finding satisfies never;
    }
  }
}
