import { run } from './run.mjs';

/**
 * `npm install`, from npm's own cache where it can, so that a second run of the test hardly uses the network. Scripts stay blocked: the
 * package must not need any, and those of others are not ours to run.
 */
export async function npmInstall(folder, ...packages) {
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock'];
  await run('npm', ['install', ...flags, ...packages], { cwd: folder });
}
