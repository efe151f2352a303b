import { refusedCommand } from '../driver-failure.js';

/** As Redis before 7.2 says it of a command within a script, without its name. */
const REFUSED_IN_SCRIPT = "can't run this command or subcommand";
const UNKNOWN_IN_SCRIPT = 'Unknown Redis command called from script';

/** Whether the server will never carry out the command for this user: not a failure that passes by itself. */
export function isRefused(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { message } = error;
  return (
    message.startsWith('NOPERM') ||
    refusedCommand(error) !== null ||
    message.includes(REFUSED_IN_SCRIPT) ||
    message.includes(UNKNOWN_IN_SCRIPT)
  );
}
