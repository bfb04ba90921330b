/** A server before and after a deploy, fact by fact, and the declared thing that each fact belongs to. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PlanSummary } from '../../scripts/plan-summary';
import { trimPlan, type TerraformPlan } from '../../scripts/plan-summary/terraform-plan';
import { labEnvironment, NAME, onMirror, ROOT } from './support';

/** One fact a line, with a tab before its value: written without any of our programs. */
const FINGERPRINT = `
cd /etc/mirror/current/ 2>/dev/null && find . -type f ! -path './secrets/*' ! -name manifest.json -printf '%P\\n' | sort | while read -r f; do printf 'config:%s\\t%s\\n' "$f" "$(sha256sum < "$f")"; done
for f in /etc/mirror/current/secrets/*; do [ -f "$f" ] && printf 'secret:%s\\t%s\\n' "\${f##*/}" "$(sha256sum < "$f")"; done
[ -e /etc/mirror/current ] && printf 'generation\\t%s\\n' "$(basename "$(readlink /etc/mirror/current)")"
[ -f /etc/mirror/current/manifest.json ] && printf 'owner\\t%s\\n' "$(sed -n 's/^ "owner": "\\(.*\\)",$/\\1/p' /etc/mirror/current/manifest.json)"
for f in /etc/systemd/system/mirror-*; do [ -f "$f" ] && printf 'unit:%s\\t%s\\n' "\${f##*/}" "$(sha256sum < "$f")"; done
systemctl list-unit-files --no-legend --state=enabled 'mirror-*.timer' 2>/dev/null | while read -r u _; do printf 'enabled:%s\\tyes\\n' "$u"; done
systemctl list-units --no-legend --plain --state=active 'mirror-*.timer' 2>/dev/null | while read -r u _; do printf 'active:%s\\tyes\\n' "$u"; done
printf 'nginx:active\\t%s\\n' "$(systemctl is-active nginx.service 2>/dev/null)"
printf 'nginx:site\\t%s\\n' "$(readlink /etc/nginx/sites-enabled/mirror.conf)"
for p in mirrorctl mirror-host; do l=$(ls /usr/local/bin/$p /usr/local/sbin/$p 2>/dev/null | head -n 1); printf 'program:%s\\t%s\\n' "$p" "$(readlink -f "$l")"; done
cut -d: -f1 /etc/passwd | sed 's/^/user:/; s/$/\\tyes/'
for f in /etc/sudoers.d/*; do [ -f "$f" ] && printf 'sudoers:%s\\t%s\\n' "\${f##*/}" "$(sha256sum < "$f")"; done
printf 'packages\\t%s\\n' "$(dpkg-query -W 2>/dev/null | sha256sum)"
cd /srv/mirror/www 2>/dev/null && find . -type l -printf '%P\\t%l\\n' | sort | while IFS="$(printf '\\t')" read -r p t; do
  printf 'link:%s>%s\\tyes\\n' "$p" "$t"
  m=$(find -L "$p" -maxdepth 3 -path '*/repodata/repomd.xml' 2>/dev/null | sort)
  [ -n "$m" ] || continue
  printf 'served:%s\\t%s\\n' "$p" "$(cat $m | sha256sum)"
  printf 'signed:%s\\t%s\\n' "$p" "$(for x in $m; do cat "$x.asc" 2>/dev/null; done | sha256sum)"
done
true`;

export type Fingerprint = ReadonlyMap<string, string>;

export function fingerprint(): Fingerprint {
  const lines = onMirror(FINGERPRINT).split('\n');
  return new Map(
    lines.filter((line) => line.includes('\t')).map((line) => [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)]),
  );
}

/** Waits until no first sync runs: it publishes content in the background, which no deploy is answerable for. */
export function awaitFirstSyncs(): void {
  onMirror(
    'for i in $(seq 120); do case $(systemctl is-active mirror-sync-new.service) in active|activating) sleep 0.5;; *) break;; esac; done',
  );
}

export interface Changed {
  /** `add customer/acme`, `change timer/epel-7`, in order. */
  readonly things: readonly string[];
  readonly newGeneration: boolean;
  readonly programs: boolean;
}

/** What differs, by the thing that it belongs to. */
export function changed(before: Fingerprint, after: Fingerprint): Changed {
  const owners = { before: ownersOf(before, after), after: ownersOf(after, before) };
  const existed = new Set(owners.before.values());
  const exists = new Set(owners.after.values());
  const firstDeploy = before.get('generation') === undefined;
  const things = new Set<string>();
  for (const fact of new Set([...before.keys(), ...after.keys()])) {
    if (before.get(fact) === after.get(fact)) continue;
    for (const thing of new Set([owners.before.get(fact), owners.after.get(fact)])) {
      if (thing === undefined || (firstDeploy && (thing === 'set up' || thing === 'nginx'))) continue;
      things.add(`${existed.has(thing) ? (exists.has(thing) ? 'change' : 'remove') : 'add'} ${thing}`);
    }
  }
  return {
    things: [...things].sort(),
    newGeneration: before.get('generation') !== after.get('generation'),
    programs: before.get('program:mirrorctl') !== after.get('program:mirrorctl'),
  };
}

/** What a summary says will differ, in the same words. A repair changes the thing that the file or unit belongs to. */
export function predicted(summary: PlanSummary, before: Fingerprint, after: Fingerprint): Changed {
  const owners = ownersOf(after, before);
  const things = summary.onServer.map(({ element, action }) =>
    action === 'repair' ? `change ${owners.get(factOf(element, after))}` : `${action} ${element}`,
  );
  return {
    things: [...new Set(things)].sort(),
    newGeneration: summary.server.newGeneration,
    programs: summary.server.programs,
  };
}

/** Fact → the declared thing that it belongs to, without what every generation has anew. */
function ownersOf(print: Fingerprint, other: Fingerprint): Map<string, string> {
  const pairs = [...print.keys()].map((fact) => [fact, ownerOf(fact, print, other)] as const);
  return new Map(pairs.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

/** The fact that a path or unit of a deviation is. */
function factOf(subject: string, print: Fingerprint): string {
  if (subject.startsWith('/etc/mirror/current/')) return `config:${subject.slice('/etc/mirror/current/'.length)}`;
  if (subject.startsWith('/srv/mirror/www/')) {
    const link = `link:${subject.slice('/srv/mirror/www/'.length)}>`;
    return [...print.keys()].find((fact) => fact.startsWith(link)) ?? subject;
  }
  if (subject === 'nginx.service') return 'nginx:active';
  return `unit:${subject}`;
}

/** What else is copied has the files and links of a repository; its definition says what it is. */
const KINDS = { trees: 'tree', downloads: 'downloads', lists: 'lists', packages: 'packages/starlingx' } as const;
/** The one archive of builds that main.ts declares: links lead to its series, which do not have its name. */
const ARCHIVE = 'builds/stx-master';

function ownerOf(fact: string, print: Fingerprint, other: Fingerprint): string | undefined {
  const thing = repositoryOr(fact, print, other);
  const id = /^repository\/(.+)$/.exec(thing ?? '')?.[1];
  const kind = Object.entries(KINDS).find(([directory]) => print.has(`config:definitions/${directory}/${id}.yaml`));
  return id === undefined || kind === undefined ? thing : `${kind[1]}/${id}`;
}

function repositoryOr(fact: string, print: Fingerprint, other: Fingerprint): string | undefined {
  const [, kind = fact, name = ''] = /^([a-z]+):(.*)$/s.exec(fact) ?? [];
  if (kind === 'config') return ofFile(name);
  if (kind === 'unit' || kind === 'enabled' || kind === 'active')
    return name.startsWith('mirror-revert') ? undefined : ofFile(`systemd/${name}`);
  if (kind === 'link') return ofTarget(name.slice(name.indexOf('>') + 1));
  if (kind === 'served' || kind === 'signed') {
    const link = [...print.keys()].find((one) => one.startsWith(`link:${name}>`)) ?? '';
    const thing = ofTarget(link.slice(link.indexOf('>') + 1));
    // Content that is signed anew belongs to the key, unless its codename comes or goes.
    return kind === 'signed' && other.has(fact) && /^(?:codename|packages)\//.test(thing) ? 'secret/signing-key' : thing;
  }
  if (kind === 'secret') return `secret/${name}`;
  if (kind === 'owner') return 'owner';
  if (kind === 'generation' || kind === 'program') return undefined;
  if (kind === 'nginx') return 'nginx';
  if (kind === 'user' && name !== 'mirror' && name.startsWith('mirror-')) return `account/${name}`;
  return 'set up';
}

const FILES: readonly (readonly [RegExp, string])[] = [
  [/^definitions\/(?:repositories|trees|downloads|lists|packages)\/(.+)\.yaml$/, 'repository/$1'],
  [/^(?:definitions\/builds\/.+\.yaml|systemd\/mirror-builds\..+)$/, ARCHIVE],
  [/^definitions\/codenames\/(.+)\.yaml$/, 'codename/$1'],
  [/^(?:definitions\/aliases\/(.+)\.yaml|nginx\/locations\/alias\+(.+)\.conf)$/, 'alias/$1$2'],
  [/^repo-files\/(\d.+)\.repo$/, 'set/mos/$1'],
  [/^owners\/([^/]+)\/(\d.+)\.repo$/, 'set/$1/$2'],
  [/^repo-files\/(mos\d.+)\.repo$/, 'codename/mos/$1'],
  [/^repo-files\/(.+)\.repo$/, 'repository/$1'],
  [/^owners\/([^/]+)\/(.+)\.repo$/, 'codename/$1/$2'],
  [/^owners\/([^/]+)\/.+$/, 'customer/$1'],
  [/^nginx\/locations\/(.+)\.conf$/, 'customer/$1'],
  [/^nginx\/client-authorities\/(.+)\.pem$/, 'customer/$1'],
  [/^(?:nginx\/(?:vhost|serving)\.conf|nginx\/tls\/.+|definitions\/site\.yaml|systemd\/mirror-certificate\..+)$/, `vhost/${NAME}`],
  [/^systemd\/mirror-sync@(.+)\.timer$/, 'timer/$1'],
  [
    /^(?:definitions\/server\.yaml|systemd\/mirror-(?:sync(?:@|-new)\.service|(?:scrub|retention|machine|health|time)\.[a-z]+))$/,
    'server/services',
  ],
  [/^ssh\/authorized_keys$/, 'account/mirror-deploy'],
];

function ofFile(path: string): string | undefined {
  // A new number in each generation; upstream keys are shared by the repositories that name them, the log by all aliases.
  if (path === 'nginx/generation.conf' || path === 'nginx/locations/legacy-log.conf' || path.startsWith('keys/')) return undefined;
  const found = FILES.find(([pattern]) => pattern.test(path));
  return found === undefined ? `unknown ${path}` : path.replace(found[0], found[1]);
}

function ofTarget(target: string): string {
  const snapshots = /public-snapshots\/([^/]+\/[^/]+)$/.exec(target);
  if (snapshots !== null) return hostedBy(snapshots[1] as string);
  if (/^(?:\.\.\/)*builds\//.test(target)) return ARCHIVE;
  const path = target.replace(/^.*?repositories\//, '').replace(/\/current(\/.*)?$/, '');
  const codename = /^([^/]+\/[^/]+)\/[^/]+$/.exec(path);
  return codename ? hostedBy(codename[1] as string) : `repository/${path}`;
}

function hostedBy(id: string): string {
  return id.startsWith('starlingx/') ? `packages/${id}` : `codename/${id}`;
}

const PLANS = join(ROOT, '__tests__', 'scripts', 'plans');

/** Numbers, times, addresses and digests as they are in the golden files: the same in every lab and on every day. */
export function normalized(text: string): string {
  const env = labEnvironment();
  const digests = new Map<string, string>();
  return text
    .replaceAll(env['MIRROR_HOST_KEY'] ?? 'none', `SHA256:${'A'.repeat(43)}`)
    .replaceAll(env['MIRROR_ADDRESS'] ?? 'none', NAME)
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '2026-01-01T00:00:00.000Z')
    .replaceAll(/(generation |generation\\?":)[1-9]\d*/g, '$13')
    .replaceAll(/\b([0-9a-f]{64}|[0-9A-F]{40})\b/g, (digest) => {
      const known = digests.get(digest) ?? String(digests.size + 1).padStart(digest.length, '0');
      digests.set(digest, known);
      return known;
    });
}

/** The sentences of a golden plan; with MIRROR_RECORD_PLANS=1 they are written first, with the plan they were made from. */
export function golden(name: string, plan: TerraformPlan, sentences: readonly string[]): string[] {
  if (process.env['MIRROR_RECORD_PLANS'] === '1') {
    writeFileSync(join(PLANS, `${name}.json`), `${normalized(JSON.stringify(trimPlan(plan), null, 1))}\n`);
    writeFileSync(join(PLANS, `${name}.txt`), sentences.map((sentence) => `${normalized(sentence)}\n`).join(''));
  }
  return readFileSync(join(PLANS, `${name}.txt`), 'utf8')
    .split('\n')
    .slice(0, -1);
}
