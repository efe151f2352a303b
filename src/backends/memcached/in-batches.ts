/** Requests that wait for their responses at once: enough to fill the connection, few enough to let other callers in between. */
const REQUESTS_AT_ONCE = 250;

interface BatchOptions {
  /** Called before each batch; false: the other items are left out. Default: all are done. */
  readonly goesOn?: () => boolean;
  /** Called after each batch. */
  readonly progress?: (() => void) | undefined;
}

/** The results of `call` for each of `items`, in their order, with a bounded number of calls under way at once. */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  call: (item: Item) => Promise<Result>,
  { goesOn = () => true, progress }: BatchOptions = {},
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length && goesOn(); start += REQUESTS_AT_ONCE) {
    results.push(...(await Promise.all(items.slice(start, start + REQUESTS_AT_ONCE).map(call))));
    progress?.();
  }
  return results;
}
