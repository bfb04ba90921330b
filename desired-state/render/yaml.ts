import { stringify } from 'yaml';

/** YAML as people read it in a plan: keys in the order of the definition, no folding, no anchors. */
export function definitionYaml(definition: object): string {
  return stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false });
}
