/**
 * Nothing variable is interpolated into a shell. Every text that reaches `runAsRoot` or `exec` of a connection is followed back, through
 * constants, functions and parameters, to literals; the only other parts that it may have are numbers and the result of `hex()`, which throws
 * at anything but hex digits. Whoever needs more sends it on standard input.
 */
import { join } from 'node:path';
import ts from 'typescript';

const root = join(__dirname, '..', '..');
/** Methods that hand their first argument to the login shell. */
const SINKS = ['runAsRoot', 'exec'];
const SANITIZERS = ['hex'];

/** Each place where a text of unknown origin reaches a shell, as `file:line text`. */
function unsafeScripts(files: Readonly<Record<string, string>> | undefined): { faults: string[]; scripts: number } {
  const config = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), (f) => ts.sys.readFile(f)).config,
    ts.sys,
    root,
  );
  const ours = (name: string): boolean => /^\/(transport|scripts)\//.test(name.slice(root.length));
  const host = ts.createCompilerHost(config.options);
  if (files !== undefined) {
    const read = host.getSourceFile.bind(host);
    const exists = host.fileExists.bind(host);
    host.fileExists = (name) => name in files || exists(name);
    host.getSourceFile = (name, target) =>
      name in files ? ts.createSourceFile(name, files[name] as string, target, true) : read(name, target);
  }
  const names = files === undefined ? config.fileNames.filter(ours) : Object.keys(files);
  const program = ts.createProgram(names, { ...config.options, noEmit: true }, host);
  const checker = program.getTypeChecker();
  const sources = program.getSourceFiles().filter((f) => (files === undefined ? ours(f.fileName) : f.fileName in files));
  const faults = new Set<string>();
  const seen = new Set<ts.Node>();
  let scripts = 0;

  const fault = (node: ts.Node): void => {
    const file = node.getSourceFile();
    faults.add(`${file.fileName.slice(root.length + 1)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1} ${node.getText()}`);
  };
  /** All literals that an expression can be have been written by us. */
  const isLiteral = (type: ts.Type): boolean =>
    type.isUnion() ? type.types.every(isLiteral) : type.isStringLiteral() || (type.flags & ts.TypeFlags.NumberLike) !== 0;
  const returnsOf = (body: ts.ConciseBody | undefined): ts.Expression[] => {
    if (body === undefined) return [];
    if (!ts.isBlock(body)) return [body];
    const found: ts.Expression[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isReturnStatement(node) && node.expression) found.push(node.expression);
      if (!ts.isFunctionLike(node)) ts.forEachChild(node, visit);
    };
    ts.forEachChild(body, visit);
    return found;
  };
  const declarationOf = (node: ts.Node): ts.Declaration | undefined => {
    let symbol = checker.getSymbolAtLocation(node);
    if (symbol && symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
    return symbol?.valueDeclaration;
  };
  const callsOf = (target: ts.Node): ts.CallExpression[] => {
    const found: ts.CallExpression[] = [];
    const visit = (node: ts.Node): void => {
      if (
        ts.isCallExpression(node) &&
        declarationOf(ts.isPropertyAccessExpression(node.expression) ? node.expression.name : node.expression) === target
      )
        found.push(node);
      ts.forEachChild(node, visit);
    };
    sources.forEach(visit);
    return found;
  };

  const follow = (node: ts.Expression): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (ts.isStringLiteralLike(node) || ts.isNumericLiteral(node)) return;
    if (isLiteral(checker.getTypeAtLocation(node))) return;
    if (ts.isTemplateExpression(node)) return node.templateSpans.forEach((span) => follow(span.expression));
    if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return follow(node.expression);
    if (ts.isConditionalExpression(node)) return [node.whenTrue, node.whenFalse].forEach(follow);
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) return [node.left, node.right].forEach(follow);
    if (ts.isArrayLiteralExpression(node)) return node.elements.forEach(follow);
    if (ts.isCallExpression(node)) return followCall(node);
    if (ts.isIdentifier(node) || ts.isPropertyAccessExpression(node)) return followName(node);
    fault(node);
  };
  const followCall = (node: ts.CallExpression): void => {
    const { expression } = node;
    if (ts.isIdentifier(expression) && SANITIZERS.includes(expression.text)) return;
    if (ts.isPropertyAccessExpression(expression) && expression.name.text === 'join') return follow(expression.expression);
    if (
      ts.isPropertyAccessExpression(expression) &&
      expression.name.text === 'map' &&
      node.arguments[0] &&
      ts.isArrowFunction(node.arguments[0])
    )
      return returnsOf(node.arguments[0].body).forEach(follow);
    const declaration = declarationOf(ts.isPropertyAccessExpression(expression) ? expression.name : expression);
    if (declaration && ts.isFunctionDeclaration(declaration) && ours(declaration.getSourceFile().fileName))
      return returnsOf(declaration.body).forEach(follow);
    fault(node);
  };
  const followName = (node: ts.Identifier | ts.PropertyAccessExpression): void => {
    const name = ts.isIdentifier(node) ? node : node.name;
    const declaration = declarationOf(name);
    if (
      declaration &&
      ts.isVariableDeclaration(declaration) &&
      declaration.initializer &&
      ts.isVariableDeclarationList(declaration.parent)
    ) {
      if (declaration.parent.flags & ts.NodeFlags.Const) return follow(declaration.initializer);
    }
    // A field of an object: everything that is ever assigned to it.
    if (declaration && ts.isPropertyDeclaration(declaration) && declaration.initializer) return follow(declaration.initializer);
    if (declaration && ts.isPropertySignature(declaration)) return followField(declaration, node);
    if (declaration && ts.isParameter(declaration)) {
      const index = declaration.parent.parameters.indexOf(declaration);
      const calls = callsOf(declaration.parent);
      // A parameter that nobody passes is an entry for others to pass what they like.
      return calls.length === 0 && !isSink(declaration.parent)
        ? fault(node)
        : calls.forEach((call) => follow(call.arguments[index] as ts.Expression));
    }
    fault(node);
  };
  const followField = (declaration: ts.PropertySignature, use: ts.Node): void => {
    const field = declaration.name.getText();
    const values: ts.Expression[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isPropertyAssignment(node) && node.name.getText() === field) values.push(node.initializer);
      if (ts.isShorthandPropertyAssignment(node) && node.name.text === field) values.push(node.name);
      ts.forEachChild(node, visit);
    };
    sources.forEach(visit);
    if (values.length === 0) fault(use);
    values.forEach(follow);
  };
  const isSink = (node: ts.Node): boolean => ts.isMethodDeclaration(node) && SINKS.includes(node.name.getText());

  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && SINKS.includes(node.expression.name.text)) {
      const owner = checker.getTypeAtLocation(node.expression.expression).symbol?.name;
      const [script] = node.arguments;
      if (owner === 'Connection' && script !== undefined) {
        scripts++;
        follow(script);
      }
    }
    ts.forEachChild(node, visit);
  };
  sources.forEach(visit);
  return { faults: [...faults], scripts };
}

test('every script that we run on a server is made of literals, numbers and digests', () => {
  const { faults, scripts } = unsafeScripts(undefined);
  expect(scripts).toBeGreaterThanOrEqual(2);
  expect(faults).toEqual([]);
}, 60_000);

test('what a script must not hold is noticed', () => {
  const file = join(root, 'scripts', 'deploy', 'invented.ts');
  const text = `
import type { Connection } from '../../transport/connection';
declare const user: string;
const hex = (digest: string): string => digest;
const DIRECTORY = '/srv';
function remove(directory: string): string { return \`rm -rf \${directory}\`; }
async function run(connection: Connection, script: string): Promise<void> { await connection.runAsRoot(script); }
export async function all(connection: Connection, port: number, digest: string): Promise<void> {
  await run(connection, \`cd \${DIRECTORY} && echo \${port} \${hex(digest)}\`);
  await run(connection, 'id ' + user);
  await connection.exec(remove(process.argv[2] ?? ''));
  await connection.runAsRoot(['id', digest.trim()].join(' '));
  let script = 'id';
  script += user;
  await connection.runAsRoot(script);
}
`;
  const { faults, scripts } = unsafeScripts({ [file]: text });
  expect(scripts).toBe(4);
  const at = 'scripts/deploy/invented.ts';
  expect(faults).toEqual([`${at}:10 user`, `${at}:11 process.argv[2] ?? ''`, `${at}:12 digest.trim()`, `${at}:15 script`]);
}, 60_000);
