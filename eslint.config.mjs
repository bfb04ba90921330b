import boundaries from 'eslint-plugin-boundaries';
import tseslint from 'typescript-eslint';

/** Which folder may import which: the same table as in docs/architecture.md. A folder of the server side is also a privilege. */
const layers = {
  'desired-state': [],
  starlingx: ['desired-state'],
  'rpm-metadata': ['desired-state'],
  signatures: ['desired-state'],
  downloads: ['desired-state'],
  transport: ['desired-state'],
  constructs: ['desired-state', 'starlingx'],
  'host-agent': ['desired-state'],
  content: ['desired-state', 'rpm-metadata', 'signatures', 'downloads', 'starlingx'],
  scripts: ['transport', 'desired-state', 'starlingx', 'downloads', 'rpm-metadata', 'signatures'],
  client: ['desired-state', 'rpm-metadata', 'signatures', 'downloads', 'starlingx'],
  lab: ['desired-state'],
  campaign: ['desired-state', 'constructs'],
  main: ['constructs'],
};
/** Packages that belong to one layer. One rule entry per folder, since a later entry would replace an earlier one. */
const owned = [
  {
    folders: ['constructs', 'main', 'campaign'],
    group: ['cdktf', 'cdktf/*', '@cdktf/*', 'constructs'],
    message: 'only constructs and main.ts import cdktf',
  },
  { folders: ['transport'], group: ['ssh2'], message: 'only transport speaks SSH' },
];
const impure = {
  group: ['node:fs', 'node:fs/*', 'node:child_process', 'node:net', 'node:http', 'undici'],
  message: 'desired-state is pure',
};
const restrictedImports = Object.keys(layers).map((layer) => ({
  files: [layer === 'main' ? 'main.ts' : `${layer}/**/*.ts`],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          ...owned.filter((o) => !o.folders.includes(layer)).map(({ group, message }) => ({ group, message })),
          ...(layer === 'desired-state' ? [impure] : []),
        ],
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['node_modules/', 'dist/', 'cdktf.out/', 'coverage/'] },
  ...tseslint.configs.recommendedTypeChecked.map((c) => ({ ...c, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { boundaries },
    settings: {
      'boundaries/elements': [
        ...Object.keys(layers)
          .filter((l) => l !== 'main')
          .map((l) => ({ type: l, pattern: `${l}/**`, mode: 'full' })),
        { type: 'main', pattern: 'main.ts', mode: 'full' },
      ],
      'import/resolver': { node: { extensions: ['.ts', '.js'] } },
    },
    rules: {
      'boundaries/element-types': [
        'error',
        {
          default: 'disallow',
          message: '${file.type} must not import ${dependency.type}: see the layers in docs/architecture.md',
          rules: Object.entries(layers).map(([from, to]) => ({ from, allow: [from, ...to] })),
        },
      ],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  ...restrictedImports,
  {
    files: ['__tests__/**/*.ts'],
    rules: {
      'boundaries/element-types': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
);
