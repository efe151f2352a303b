/** What one check has found out about the server. */
export type Finding =
  | { readonly outcome: 'passed' }
  /** Known to be wrong. `report` says what it breaks and how to mend it; `effect` what follows until it is mended. */
  | { readonly outcome: 'failed'; readonly report: string; readonly effect: FindingEffect }
  /** It can never be found out here, such as without the right to a command. Said once, and taken for passed. */
  | { readonly outcome: 'unavailable'; readonly report: string }
  /** Nothing is known yet: the server is down, full, read-only. Tried again. `refusal`: calls fail until then, with this text. */
  | { readonly outcome: 'undetermined'; readonly refusal?: string };

/** `reported`: only logged. `refused`: calls fail. `boot-refused`: calls fail, and the start too if it is known by then. */
type FindingEffect = 'reported' | 'refused' | 'boot-refused';

/** One question to the server. */
export interface ReadinessCheck {
  /** `each-connection`: at each readiness. `until-passed`: at the first one, and again until it has passed. */
  readonly runs: 'each-connection' | 'until-passed';
  /** Whether calls wait for its result on a new connection too, not only on the first. */
  readonly gatesEachConnection: boolean;
  /** For the log, when what had failed has passed. */
  readonly mended: string;
  run(): Promise<Finding>;
}

export const PASSED: Finding = { outcome: 'passed' };
export const UNDETERMINED: Finding = { outcome: 'undetermined' };
