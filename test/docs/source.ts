import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

import { root } from './pages.js';

/** A file of TypeScript, to look at what it declares. */
function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true);
}

/** The names that a file exports by `export { … } from`. */
export function exportsOf(path: string): string[] {
  return parse(path).statements.flatMap((statement) =>
    ts.isExportDeclaration(statement) && statement.exportClause && ts.isNamedExports(statement.exportClause)
      ? statement.exportClause.elements.map(({ name }) => name.text)
      : [],
  );
}

/** The texts of `type name = 'a' | 'b'`. */
export function membersOf(path: string, name: string): string[] {
  const found = parse(path)
    .statements.filter(ts.isTypeAliasDeclaration)
    .find((type) => type.name.text === name);
  if (found === undefined || !ts.isUnionTypeNode(found.type)) throw new Error(`${path} has no union type ${name}`);
  return found.type.types.map((member) => {
    if (!ts.isLiteralTypeNode(member) || !ts.isStringLiteral(member.literal))
      throw new Error(`${name} has another type`);
    return member.literal.text;
  });
}

/** The titles of the tests in a file, and of the requirements in one of the suite for backends, as they are written. */
export function titlesIn(path: string): string[] {
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    const [first] = ts.isCallExpression(node) && isTest(node.expression) ? node.arguments : requirementIn(node);
    if (first !== undefined && ts.isStringLiteralLike(first)) titles.push(first.text);
    ts.forEachChild(node, visit);
  };
  visit(parse(path));
  return titles;
}

function isTest(callee: ts.Expression): boolean {
  return /^(it|test|describe)\b/.test(callee.getText());
}

/** Requirements are pairs of a title and a function. */
function requirementIn(node: ts.Node): readonly ts.Expression[] {
  return ts.isArrayLiteralExpression(node) && node.elements.length === 2 ? node.elements : [];
}
