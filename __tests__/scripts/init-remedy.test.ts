import { initRemedy } from '../../scripts/init-remedy';

const LAB = 'eval "$(scripts/lab env)"';

test.each([
  [
    '│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list of available versions for provider hashicorp/null: could\n│ not connect',
    true,
  ],
  ['provider hashicorp/local: no available releases match the given\n│ constraints 2.6.1', true],
  ['│ Could not retrieve the list of available\n│ versions for provider hashicorp/null', true],
  ['Error: Failed to get existing workspaces: S3 bucket does not exist', false],
])('%j', (said, providers) => {
  expect(initRemedy(said)).toMatch(/^The registry, or the backend of the state, must answer\./);
  expect(initRemedy(said).includes(LAB)).toBe(providers);
});
