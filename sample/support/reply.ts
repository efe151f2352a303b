/** What SampleProcess.ask gets back: what the process returned, or the stack of the error that it threw. */
export type Reply = { readonly returned: unknown } | { readonly error: string };

/** In a process that a SampleProcess started: sends the answer to the test that asked, and an error too. */
export async function reply(answer: Promise<unknown>): Promise<void> {
  const message = await answer.then(
    (returned): Reply => ({ returned }),
    (error: unknown): Reply => ({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
  process.send?.(message);
}
