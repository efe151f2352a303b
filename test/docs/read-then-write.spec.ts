import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

import { allPages, root } from './pages.js';

const MUTATORS = /^(push|unshift|pop|shift|splice|sort|reverse|fill|copyWithin)$/;
const SESSION_DATA = /(^|\.)data$/;

/**
 * The statements of `code` in which a new value of `session.data` depends on the one that was read before: of two requests at once, one
 * would undo the other's. Within a function that is given to `update()` they are right.
 */
function writesBack(code: string): string[] {
  const source = ts.createSourceFile('example.ts', code, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (isUpdate(node)) return;
    if (dependsOnItself(node)) found.push(node.getText());
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isUpdate(node: ts.Node): boolean {
  return (
    ts.isCallExpression(node) &&
    ts.isPropertyAccessExpression(node.expression) &&
    node.expression.name.text === 'update' &&
    node.arguments.length === 2
  );
}

function dependsOnItself(node: ts.Node): boolean {
  if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
    const counts = [ts.SyntaxKind.PlusPlusToken, ts.SyntaxKind.MinusMinusToken].includes(node.operator);
    return counts && isOfData(node.operand);
  }
  if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind) && isOfData(node.left)) {
    const isPlain = node.operatorToken.kind === ts.SyntaxKind.EqualsToken;
    return !isPlain || node.right.getText().includes(node.left.getText());
  }
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { name, expression } = node.expression;
  return MUTATORS.test(name.text) && isOfData(expression);
}

function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}

/** Whether `node` is `session.data.key`, `data.key`, or something deeper. */
function isOfData(node: ts.Node): boolean {
  if (ts.isNonNullExpression(node) || ts.isParenthesizedExpression(node)) return isOfData(node.expression);
  if (!ts.isPropertyAccessExpression(node) && !ts.isElementAccessExpression(node)) return false;
  return SESSION_DATA.test(node.expression.getText()) || isOfData(node.expression);
}

describe('an example that reads session data and writes it back outside of update()', () => {
  it.each([
    'session.data.cart = [...(session.data.cart ?? []), item];',
    'session.data.visits = Number(session.data.visits ?? 0) + 1;',
    'session.data.visits += 1;',
    'session.data.visits++;',
    '--data.visits;',
    'session.data.cart!.push(item);',
    'data["cart"].items.push(item);',
    'session.data.cart ??= [];',
    'data.profile.count = data.profile.count + 1;',
  ])('is found: %s', (code) => {
    expect(writesBack(code)).toHaveLength(1);
  });

  it.each([
    'session.data.theme = "dark";',
    'delete session.data.cart;',
    'items.push(session.data.cart);',
    'await this.sessions.update(session, ({ data }) => { data.visits = Number(data.visits ?? 0) + 1; data.cart.push(1); });',
    'rows.data.push(row);',
  ])('is not: %s', (code) => {
    expect(writesBack(code)).toEqual([]);
  });

  it('is in no block of any page', () => {
    const codes = allPages().flatMap(({ blocks }) => blocks.filter(({ language }) => /^(ts|js)$/.test(language)));
    expect(codes.length).toBeGreaterThan(30);
    expect(codes.flatMap(({ code }) => writesBack(code))).toEqual([]);
  });

  it('is in no sample, nor in the doc comments of what the package exports', () => {
    const files = [...sourcesIn('sample'), ...sourcesIn('src')];
    expect(files.length).toBeGreaterThan(100);
    const found = files.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      const codes = file.startsWith('sample') ? [text] : (text.match(/@example[^]*?\*\//g) ?? []).map(withoutStars);
      return codes.flatMap(writesBack).map((code) => `${file}: ${code}`);
    });
    expect(found).toEqual([]);
  });
});

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
    .map((file) => join(folder, file));
}

function withoutStars(comment: string): string {
  return comment.replace(/@example|\*\/$|^\s*\*/gm, '');
}
