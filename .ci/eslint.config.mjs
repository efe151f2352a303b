import { fileURLToPath } from 'node:url';

import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/**', 'coverage/**', 'api-docs/**', 'test/output/**', '.ci/**', '**/*.mjs', 'sample/**/public/**'] },
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: 'tsconfig.json', tsconfigRootDir: fileURLToPath(new URL('..', import.meta.url)) },
    },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': ['error', { object: 'process', property: 'exit' }],
      // Nest's modules and test fixtures are classes that carry nothing but decorators.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      // Declared types of the options say more than what would be inferred from a default.
      '@typescript-eslint/no-inferrable-types': 'off',
      // It takes a literal for an instance wherever a parameter or a return value has the type of a class.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // The project has no enums, and this takes a tenth of the whole time.
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-empty-object-type': ['error', { allowInterfaces: 'with-single-extends' }],
    },
  },
  {
    files: ['src/**'],
    // A token of random bytes never comes from here; the jitter of a retry may.
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: 'session\\.module\\.js$', message: 'Nothing imports the module.' }] },
      ],
    },
  },
  // Declaration merging needs an interface.
  { files: ['src/records/session-user.ts'], rules: { '@typescript-eslint/consistent-indexed-object-style': 'off' } },
  // RxJS has no other way to keep the nature of an observable through pipe().
  { files: ['src/events/guarded-observable.ts'], rules: { '@typescript-eslint/no-deprecated': 'off' } },
  { files: ['src/index.ts'], rules: { 'no-restricted-imports': 'off' } },
  { files: ['bench/**', 'sample/**/main.ts'], rules: { 'no-console': 'off', 'no-restricted-properties': 'off' } },
  {
    files: ['test/**', 'sample/**/*.e2e-spec.ts', 'bench/**'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
