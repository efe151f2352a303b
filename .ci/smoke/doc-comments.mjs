import { join } from 'node:path';

import ts from 'typescript';

/** What an editor must show over these names. */
const KNOWN = {
  SessionModule: 'Server-side sessions.',
  SessionService: 'Creates, reads, changes and ends sessions.',
  'SessionService.login': 'Signs `user` in: a session under a new id',
  'SessionService.deleteUserSessions': 'Logs a user out everywhere',
  'SessionOptions.sessionTtl': 'Seconds without use after which a session ends',
  'SessionUser.userId': 'Your key of the user',
  UseSession: 'For routes that may or may not have a session',
};

/** In these nothing public goes without a comment. */
const WHOLLY_COMMENTED = ['SessionService', 'SessionOptions'];

/** The comments are the reference that users read, so the build must keep them, in both halves. */
export function checkDocComments({ content }) {
  const faults = ['esm', 'cjs'].flatMap((half) => {
    const comments = commentsOf(join(content, 'dist', half, 'index.d.ts'));
    return faultsIn(comments).map((fault) => `dist/${half}: ${fault}`);
  });
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

function faultsIn(comments) {
  const lost = Object.entries(KNOWN)
    .filter(([name, sentence]) => !comments.get(name)?.includes(sentence))
    .map(([name, sentence]) => `the comment of ${name} should say "${sentence}", and is "${comments.get(name) ?? ''}"`);
  const none = [...comments]
    .filter(([name, comment]) => comment === '' && WHOLLY_COMMENTED.includes(name.split('.')[0]))
    .map(([name]) => `${name} has no comment`);
  return [...lost, ...none];
}

/** Name of each export, and of each public member of one, to its comment. */
function commentsOf(entry) {
  const program = ts.createProgram([entry], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    // Of the packages that the types come from nothing is needed here, and nothing is there.
    noLib: true,
    types: [],
  });
  const checker = program.getTypeChecker();
  const commentOf = (symbol) => ts.displayPartsToString(symbol.getDocumentationComment(checker));
  const comments = new Map();
  for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)))) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    comments.set(exported.name, commentOf(symbol));
    for (const member of symbol.members?.values() ?? []) {
      if (isPublic(member)) comments.set(`${exported.name}.${member.name}`, commentOf(member));
    }
  }
  return comments;
}

function isPublic(member) {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  return (
    !member.name.startsWith('__') &&
    member.declarations.every(
      (declaration) =>
        !(declaration.name && ts.isPrivateIdentifier(declaration.name)) &&
        (ts.getCombinedModifierFlags(declaration) & hidden) === 0,
    )
  );
}
