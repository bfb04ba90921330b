/** `docs/reference/mos-repositories.md`: the scheme of MOS repositories in words, from the code that renders and judges them. Pure. */
import { LINT_RULES } from '../desired-state/lint-rules';
import { codenameOf, keyFileName, packagesFolder, PRODUCT_PREFIX, publicPathOf, SOURCE, type Codename } from '../desired-state/mos-scheme';
import {
  codenameRepoFile,
  COMPONENT_PRIORITY,
  COMPONENTS,
  PRODUCT_BELOW_CUSTOMER,
  componentPriority,
} from '../desired-state/render/repo-file';
import { ARCHITECTURES, DISTRIBUTIONS } from '../desired-state/validate';

const SITE = 'http://mirror.example.org';

/** The three codenames that the specification gives as examples. */
const EXAMPLES: readonly { readonly what: string; readonly prefix: string; readonly codename: Codename }[] = [
  { what: 'OpenStack nodes', prefix: PRODUCT_PREFIX, codename: { release: '7.0', distribution: 'centos', version: '6' } },
  {
    what: 'Fuel master nodes',
    prefix: PRODUCT_PREFIX,
    codename: { release: '7.0', distribution: 'centos', version: '6', variant: 'fuel' },
  },
  { what: 'A customer', prefix: 'customer', codename: { release: '7.0', distribution: 'centos', version: '6' } },
];

const WHAT: Readonly<Record<(typeof COMPONENTS)[number], string>> = {
  os: 'the release; frozen at general availability',
  updates: 'what came after, other than security',
  security: 'security fixes, published here at once',
  holdback: 'an older package in the place of one that broke something, for a time; ideally empty',
  cr: 'what is proposed for updates; switched off until a client switches it on',
};

/** A refusal of `mirrorctl publish`. */
export interface PublishRule {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

/** @param publishing what the publish engine refuses */
export function mosReference(publishing: readonly PublishRule[]): string {
  const [first] = EXAMPLES as readonly [(typeof EXAMPLES)[number]];
  const { release } = first.codename;
  return [
    '# MOS repositories',
    'Written by `node scripts/reference.mjs` from the code that renders, publishes and judges repositories. [How to make your own](../how-to/make-your-own-repository.md), [check one](#what-mirrorctl-lint-finds).',
    '## URLs',
    block('text', '/<prefix>/<distribution>/<codename>/<component>/<architecture>/'),
    table(
      ['Part', 'What'],
      [
        ['`<prefix>`', `\`${PRODUCT_PREFIX}\` for the product; each customer or team has its own`],
        ['`<distribution>`', DISTRIBUTIONS.map(code).join(', ')],
        [
          '`<codename>`',
          `\`mos<release>-<distribution><version>\`, with \`-fuel\` for Fuel master nodes: ${EXAMPLES.slice(0, 2)
            .map(({ codename }) => code(codenameOf(codename)))
            .join(', ')}`,
        ],
        ['`<component>`', `${COMPONENTS.map(code).join(', ')}, and others by name`],
        ['`<architecture>`', `${ARCHITECTURES.map(code).join(', ')}; sources are in \`${SOURCE}\``],
      ],
    ),
    ...EXAMPLES.map(
      ({ what, prefix, codename }) =>
        `${what}, ${codenameOf(codename)}:\n\n${block('text', COMPONENTS.map((component) => `${SITE}/${publicPathOf(prefix, codename)}/${component}/x86_64/`).join('\n'))}`,
    ),
    '## A component',
    block(
      'text',
      [
        `<component>/${keyFileName(release)}          public keys, in armour: the one that signs metadata, then those that sign packages`,
        `<component>/x86_64/${packagesFolder('x86_64')}/           <name>-<version>-<release>.<architecture>.rpm`,
        '<component>/x86_64/repodata/           repomd.xml, its signature repomd.xml.asc in armour, and what it names, by SHA-256',
        `<component>/${SOURCE}/${packagesFolder(SOURCE)}/          source packages`,
        `<component>/${SOURCE}/repodata/`,
      ].join('\n'),
    ),
    'An empty component has all of this, too. `noarch` packages are in the tree of each architecture, 32-bit Intel packages in `i386` and `x86_64`. Groups (comps) are a record of `repomd.xml`.',
    '## Priorities',
    'Of several repositories that have a package, clients take the one of the lowest number, whatever the versions are.',
    table(
      ['Component', 'Priority', "Of the product, in a customer's set", 'What'],
      [
        ...[...COMPONENTS]
          .sort((a, b) => (COMPONENT_PRIORITY[a] as number) - (COMPONENT_PRIORITY[b] as number))
          .map((component) => [
            code(component),
            String(componentPriority(component)),
            String(componentPriority(component) + PRODUCT_BELOW_CUSTOMER),
            WHAT[component],
          ]),
        ['others', String(componentPriority('other')), String(componentPriority('other') + PRODUCT_BELOW_CUSTOMER), 'as `updates`'],
        ['copies of the distribution', '99', '99', 'the base'],
      ],
    ),
    '## Client files',
    `\`/repo-files/<codename>.repo\`, of a customer \`/<prefix>/<codename>.repo\`; what a whole node gets is [a default set](../how-to/default-sets.md). One section a component:`,
    block(
      'ini',
      codenameRepoFile({
        owner: 'mos',
        codename: codenameOf(first.codename),
        siteUrl: SITE,
        publicPath: publicPathOf(first.prefix, first.codename),
        components: ['updates'],
        keyFile: keyFileName(release),
        distributionVersion: first.codename.version,
      }).trim(),
    ),
    'From version 8 of a distribution on there is `module_hotfixes=1`, too.',
    '## Snapshots',
    block(
      'text',
      [
        '<codename>/snapshots/<component>-<YYYY-MM-DD-HHMMSS>/<architecture>/   what was published then, in UTC',
        '<codename>/snapshots/<component>-latest                                a link to the newest',
        '<codename>/snapshots/<component>-latest.target.txt                     its name, as the first line',
      ].join('\n'),
    ),
    ...(publishing.length === 0
      ? []
      : [
          '## Publishing rules',
          'One call publishes all of its packages or none. What is published already, with the same bytes, is skipped. Refused is:',
          table(
            ['Code', 'What', 'Remedy'],
            publishing.map((rule) => [code(rule.code), rule.message, rule.remedy]),
          ),
        ]),
    '## What mirrorctl lint finds',
    table(
      ['Code', '', 'What', 'Remedy'],
      Object.entries(LINT_RULES).map(([name, { severity, what, remedy }]) => [code(name), severity, what, remedy]),
    ),
  ].join('\n\n');
}

function code(text: string): string {
  return `\`${text}\``;
}

function block(kind: string, text: string): string {
  return `\`\`\`${kind}\n${text}\n\`\`\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** A pipe ends a cell; what is in angle brackets outside of code would be taken for HTML. */
function escaped(cell: string): string {
  return cell
    .replaceAll('|', '\\|')
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll('<', '&lt;')))
    .join('');
}
