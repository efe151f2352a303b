// Lets Node run a sample, and the library that it imports, from the sources: node --import ./sample/support/typescript.mjs <file.ts>
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
