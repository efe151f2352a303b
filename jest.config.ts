/** @jest-config-loader esbuild-register */
import type { Config } from 'jest';

const config: Config = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.spec.ts', '<rootDir>/sample/**/*.e2e-spec.ts'],
  // Examples of the pages lie there while they are tested.
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/output/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
          target: 'es2022',
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^nestjs-sessionx$': '<rootDir>/src/index.ts',
    '^nestjs-sessionx/(redis|memcached|ws)$': '<rootDir>/src/$1.ts',
    '^nestjs-sessionx/testing$': '<rootDir>/src/testing/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  setupFiles: ['reflect-metadata'],
  testTimeout: 30_000,
  // More than cores: many suites wait for what takes its time, and not for the processor.
  maxWorkers: 3,
  // A worker keeps the modules of the suites that it has run, and collecting garbage among them took a third of the processor's time.
  workerIdleMemoryLimit: '700MB',
};

export default config;
