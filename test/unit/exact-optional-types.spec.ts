import { expect, it } from '@jest/globals';
import { join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '..', '..');

it.each(['redis-options.ts', 'merged-declarations.ts', 'undefined-options.ts'])(
  'compiles under exactOptionalPropertyTypes: %s',
  (name) => {
    const file = join(root, 'test', 'types', name);
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
      config: object;
    };
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    const program = ts.createProgram([file], { ...options, exactOptionalPropertyTypes: true });
    const faults = [...program.getGlobalDiagnostics(), ...program.getSemanticDiagnostics(program.getSourceFile(file))];
    expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
    expect(program.getSourceFile(file)).toBeDefined();
  },
  120_000,
);
