const swc = { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }] };
const common = {
  testEnvironment: 'node',
  transform: swc,
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/cdktf.out'],
};

/** Two projects: `unit` needs nothing but Node (and gpg, rpm where a test says so); `lab` needs root and the lab's hosts. */
module.exports = {
  testSequencer: '<rootDir>/__tests__/by-name.js',
  projects: [
    {
      ...common,
      displayName: 'unit',
      testEnvironment: '<rootDir>/__tests__/environment.js',
      testMatch: ['<rootDir>/__tests__/**/*.test.ts'],
      testPathIgnorePatterns: ['<rootDir>/__tests__/lab/'],
    },
    { ...common, displayName: 'lab', testMatch: ['<rootDir>/__tests__/lab/**/*.test.ts'] },
  ],
};
