import { spawn } from 'node:child_process';

const TIMEOUT_SECONDS = 240;

const children = new Set();
// At once, so that none of them writes into a folder that is being removed.
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/**
 * Runs a program to its end and returns what it printed.
 *
 * @throws Error with all of its output when it fails or does not end
 */
export function run(command, args, { cwd } = {}) {
  // What is meant for this process, or helps to find the repository's packages, must not help a tarball that is not whole.
  const env = { ...process.env, NODE_OPTIONS: undefined, NODE_PATH: undefined };
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_SECONDS * 1000 });
  children.add(child);
  let printed = '';
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      children.delete(child);
      if (code === 0) return resolve(printed);
      const end = signal === null ? `exit status ${code}` : `ended by ${signal}; it has ${TIMEOUT_SECONDS} s`;
      reject(new Error(`${[command, ...args].join(' ')}: ${end}\n${output.trim()}`));
    });
  });
}
