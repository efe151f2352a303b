/** To a server process. `count` begins to count and `counts` ends it; `collect` frees what is garbage, `heap` looks at the heap as it is. */
export interface CostMessage {
  readonly ask: 'count' | 'counts' | 'collect' | 'heap';
}

/** What the requests since `count` have made. */
export interface Counts {
  readonly promises: number;
  readonly timers: number;
}
