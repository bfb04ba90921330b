/** What `mirrorctl lint` finds, and how to put it right: one table for the program and for the documentation. */

/** An error: a client is refused, or gets something else than it must. A warning: it works, and is not by the scheme. */
export type Severity = 'error' | 'warning';

export interface LintRule {
  readonly severity: Severity;
  /** What is wrong, in general. */
  readonly what: string;
  readonly remedy: string;
}

const rule = (severity: Severity, what: string, remedy: string): LintRule => ({ severity, what, remedy });
const error = rule.bind(undefined, 'error');
const warning = rule.bind(undefined, 'warning');

const SIGN = 'gpg --armor --detach-sign repodata/repomd.xml, by a key of the key file, each time after createrepo_c.';
const AGAIN = 'Run createrepo_c --checksum sha256 in the tree again, and sign repodata/repomd.xml anew.';

export const LINT_RULES = {
  NOTHING_FOUND: error(
    'nothing of the scheme is there',
    'Name a prefix, a distribution, a codename, a component, or a tree with repodata in it.',
  ),
  LISTING_MISSING: warning(
    'a web server lists no files, so that only what the scheme says by name is looked at',
    'Switch listings on (nginx: autoindex on), or check the directory itself.',
  ),
  DISTRIBUTION_UNKNOWN: error('a folder of a prefix is no known distribution', 'Name it centos, fedora, oraclelinux or rhel.'),
  CODENAME_MALFORMED: error(
    'a folder of a distribution is no codename',
    'Name it mos<release>-<distribution><version>, with -fuel for Fuel master nodes: mos7.0-centos6-fuel.',
  ),
  CODENAME_MISPLACED: error(
    'a codename is for another distribution than the folder that it is in',
    'Move it to the folder of its distribution.',
  ),
  COMPONENT_MALFORMED: error(
    'the name of a component is not allowed',
    'Use a-z, 0-9, "." and "-", beginning and ending with a letter or digit; snapshots, repodata, current and others are reserved.',
  ),
  COMPONENT_MISSING: warning(
    'a codename lacks one of os, updates, security, holdback, cr',
    'Make it, though it is empty: clients are refused where a configured repository is missing.',
  ),
  TREE_MISSING: error(
    'a component has no repository for an architecture',
    'Make the tree <component>/x86_64 with Packages and repodata in it.',
  ),
  TREE_UNKNOWN: error(
    'a folder of a component is neither an architecture nor Source',
    'Packages are in <architecture>/Packages, sources in Source/SPackages; each tree has a repodata of its own.',
  ),
  SOURCE_MISSING: error('a component has no Source tree', 'Make <component>/Source with SPackages and repodata in it, though it is empty.'),
  STRAY_FILE: warning('a component holds a file that the scheme does not know', 'Remove it, or move it above the component.'),
  KEY_MISSING: error(
    'a component has no RPM-GPG-KEY-mos<release>',
    'gpg --armor --export <key> > RPM-GPG-KEY-mos<release>: the keys that sign metadata and packages.',
  ),
  KEY_MISNAMED: error('a key file is named after another release than the codename', 'Name it RPM-GPG-KEY-mos<release>, by the codename.'),
  KEY_UNUSABLE: error('a key file cannot be used', 'gpg --armor --export <key> > RPM-GPG-KEY-mos<release>: public keys only, in armour.'),
  INDEX_MISSING: error('a tree has no repodata/repomd.xml', 'Run createrepo_c in it, though it has no packages.'),
  INDEX_UNUSABLE: error('repomd.xml cannot be used', AGAIN),
  SIGNATURE_MISSING: error('repomd.xml has no signature', SIGN),
  SIGNATURE_BINARY: error('the signature of repomd.xml is not in armour', SIGN),
  SIGNATURE_UNTRUSTED: error("the signature of repomd.xml is no good one by a key of the component's key file", SIGN),
  CHECKSUM_WEAK: error('metadata names files by sha1 or md5', AGAIN),
  ELSEWHERE: error('metadata sends clients to another place (xml:base)', 'Run createrepo_c without --baseurl.'),
  METADATA_MISSING: error('a file that repomd.xml names is not there', AGAIN),
  METADATA_DAMAGED: error('a file that repomd.xml names has another size or checksum', AGAIN),
  METADATA_INCOMPLETE: warning('a tree has no filelists or no changelogs (other)', AGAIN),
  LIST_UNUSABLE: error('the list of packages cannot be used', AGAIN),
  PACKAGE_MISSING: error('a package that is listed is not there', 'Bring the package back, or run createrepo_c again and sign anew.'),
  PACKAGE_SIZE: error(
    'a package has another size than the list says',
    'It was replaced or cut off: bring the right one back, or run createrepo_c again and sign anew.',
  ),
  PACKAGE_DAMAGED: error(
    'a package has another checksum than the list says (--deep)',
    'It was replaced or damaged: bring the right one back.',
  ),
  PACKAGE_CONTRADICTS: error('a package is another one by its header than by the list (--deep)', AGAIN),
  PACKAGE_UNSIGNED: error(
    "a package has no good signature by a key of the component's key file (--deep)",
    'rpmsign --addsign <package>, then createrepo_c and sign anew; or add the key to the key file.',
  ),
  PACKAGE_TWICE: error(
    'two packages have the same name, version and architecture',
    'Keep one. Other content needs another release number.',
  ),
  PACKAGE_MISPLACED: error(
    'a package lies elsewhere than in Packages (sources: SPackages)',
    'Move it, then run createrepo_c again and sign anew.',
  ),
  PACKAGE_MISNAMED: error(
    'the file name of a package contradicts the list',
    'Name it <name>-<version>-<release>.<architecture>.rpm, then run createrepo_c again and sign anew.',
  ),
  PACKAGE_ARCHITECTURE: error(
    'a package is in the tree of another architecture',
    'Move it: noarch is in every tree, i386 to i686 in i386 and x86_64, src in Source.',
  ),
  PACKAGE_UNLISTED: warning(
    'a package is there and not listed: no client gets it',
    'Run createrepo_c again and sign anew, or remove it. What a mirror like this one took away stays so for three days, for clients with older metadata.',
  ),
  SNAPSHOT_MALFORMED: error(
    'a name in snapshots is not by the scheme',
    'Name it <component>-<YYYY-MM-DD-HHMMSS>; beside it <component>-latest and <component>-latest.target.txt.',
  ),
  SNAPSHOT_COMPONENT: error('a snapshot is of a component that the codename does not have', 'Name it after its component, or remove it.'),
  SNAPSHOT_BROKEN: error('a snapshot is a link that leads nowhere, or holds no repository', 'Remove it, or bring back what it leads to.'),
  SNAPSHOT_LATEST_MISSING: error('a component has snapshots and no <component>-latest', 'ln -s <component>-<time> <component>-latest'),
  SNAPSHOT_TARGET_MISSING: error(
    '<component>-latest.target.txt is missing',
    'Write the name of the snapshot that -latest leads to as its first line.',
  ),
  SNAPSHOT_TARGET_WRONG: error(
    '<component>-latest.target.txt does not name the snapshot that -latest leads to',
    'Write the name of that snapshot as its first line.',
  ),
  SNAPSHOT_LATEST_OLD: warning(
    '<component>-latest does not lead to the newest snapshot',
    'Lead it to the newest, unless that one was withdrawn.',
  ),
} as const satisfies Readonly<Record<string, LintRule>>;
export type LintCode = keyof typeof LINT_RULES;
