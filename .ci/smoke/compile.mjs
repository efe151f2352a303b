// Compiles the application in the working folder. A program of its own, so that two can be compiled at once.
import { sep } from 'node:path';

import ts from 'typescript';

const folder = process.cwd();
const { options, fileNames } = ts.parseJsonConfigFileContent(
  {
    compilerOptions: {
      target: 'es2022',
      // Without the browser's: a server has none of them, so the package's types must not ask for them.
      lib: ['es2022'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      rootDir: '.',
    },
    include: ['cjs', 'esm'],
  },
  ts.sys,
  folder,
);
const program = ts.createProgram(fileNames, options);

// `skipLibCheck` would spare other packages' types, and ours with them.
const ours = `${folder}${sep}node_modules${sep}nestjs-sessionx${sep}`.replaceAll(sep, '/');
const checked = program
  .getSourceFiles()
  .filter(({ fileName }) => !fileName.includes('/node_modules/') || fileName.startsWith(ours));
const diagnostics = [
  ...program.getOptionsDiagnostics(),
  ...program.getGlobalDiagnostics(),
  ...checked.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
];

if (diagnostics.length === 0) {
  program.emit();
} else {
  console.error(
    ts.formatDiagnostics(ts.sortAndDeduplicateDiagnostics(diagnostics), {
      getCanonicalFileName: (fileName) => fileName,
      getCurrentDirectory: () => folder,
      getNewLine: () => '\n',
    }),
  );
  process.exitCode = 1;
}
