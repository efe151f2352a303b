// Runs before `npm publish`: names what only the publisher knows. An invented address would be worse than none.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const WANTED = {
  repository: 'where the sources are, such as { "type": "git", "url": "git+https://…" }',
  homepage: 'the page of the project',
  bugs: 'where faults are reported, such as { "url": "https://…/issues" }',
};

const manifest = JSON.parse(readFileSync(join(process.cwd(), 'package.json'), 'utf8'));
const missing = Object.entries(WANTED).filter(([field]) => !isAddress(manifest[field]));
if (missing.length > 0) {
  console.error('package.json is not ready to be published. Fill in:');
  for (const [field, meaning] of missing) console.error(`- ${field}: ${meaning}`);
  process.exitCode = 1;
}

/** An address, in any of the spellings that npm takes, and none of those that stand for one in documentation. */
function isAddress(field) {
  const text = typeof field === 'string' ? field : (field?.url ?? field?.email);
  if (typeof text !== 'string') return false;
  if (/^(github|gitlab|bitbucket):[\w.-]+\/[\w.-]+$/.test(text)) return true;
  const host =
    /^(?:git\+)?(?:https?|ssh|git):\/\/(?:[^@/]+@)?([^:/]+)/.exec(text)?.[1] ?? /^[^@\s]+@([^@\s]+)$/.exec(text)?.[1];
  return host !== undefined && host.includes('.') && !/(^|\.)(example(\.\w+)?|invalid|test|localhost)$/.test(host);
}
