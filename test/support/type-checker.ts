import { join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '..', '..');
const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
  config: object;
};
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const host = ts.createCompilerHost(options);
const read = host.getSourceFile.bind(host);
const known = new Map<string, ts.SourceFile | undefined>();

// Each is read once for all programs.
host.getSourceFile = (path, ...rest) => {
  if (!known.has(path)) known.set(path, read(path, ...rest));
  return known.get(path);
};

/** What the compiler finds wrong in these files as one program, such as `test/types/wrong.ts(3,1): error TS2322: …`; not in what they import. */
export function typeFaults(files: readonly string[], stricter: ts.CompilerOptions = {}): string[] {
  const program = ts.createProgram(files, { ...options, ...stricter }, host);
  const sources = files.map((file) => {
    const source = program.getSourceFile(file);
    if (source === undefined) throw new Error(`There is no ${file}`);
    return source;
  });
  return [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...sources.flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ]),
  ].map((fault) => ts.formatDiagnostic(fault, { ...host, getCurrentDirectory: () => root }).trim());
}
