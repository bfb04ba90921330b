/** Pure: what the signatures that were found mean for what is declared. */
import type { TrustDefinition } from '../../desired-state/definitions';
import { isForeign } from '../../signatures/foreign-key';
import type { Issuer } from '../../signatures/issuers';
import type { Problem, SampleReport, SignatureFact } from './types';

export interface Judgement {
  readonly verdict: 'fits' | 'could be stronger' | 'does not fit' | 'unknown';
  readonly text: string;
  /** What to declare instead. */
  readonly instead?: TrustDefinition['mode'];
  readonly problem?: Problem;
}

/** What the packages that were looked at say together. */
type Packages = SampleReport['verdict'] | 'none';

/** The worst of the samples; `none` where no package could be looked at. */
function overall(samples: readonly SampleReport[]): Packages {
  const order = ['bad', 'foreign', 'unsigned', 'unchecked', 'good'] as const;
  const looked = samples.filter((s) => s.problem === undefined || s.verdict !== 'unchecked');
  return order.find((verdict) => looked.some((s) => s.verdict === verdict)) ?? 'none';
}

/** @param empty the repository lists no package at all */
export function judge(trust: TrustDefinition, index: SignatureFact, samples: readonly SampleReport[], empty: boolean): Judgement {
  const packages = overall(samples);
  const worst = samples.find((s) => s.verdict === packages);
  switch (trust.mode) {
    case 'signedMetadata':
      return signedMetadata(index, packages, worst);
    case 'signedPackages':
      return signedPackages(index, packages, worst, empty);
    case 'digestsOnly':
      return digestsOnly(index, packages, samples);
  }
}

function signedMetadata(index: SignatureFact, packages: Packages, worst: SampleReport | undefined): Judgement {
  if (index.state === 'good') {
    // Clients check packages, too: the .repo file that is handed out says gpgcheck=1.
    if (packages === 'unsigned' || packages === 'foreign' || packages === 'bad') {
      return misfit(
        'PACKAGES_UNSIGNED',
        `declared signedMetadata, and repomd.xml.asc verifies; but ${described(worst)}, and clients that check packages refuse it`,
        'Add the key that signs the packages to the same declaration, or do without this upstream.',
      );
    }
    return { verdict: 'fits', text: 'declared signedMetadata: fits' };
  }
  const found =
    index.state === 'absent'
      ? 'there is no repomd.xml.asc'
      : `repomd.xml.asc does not verify: ${'reason' in index ? index.reason : 'unchecked'}`;
  const text = `declared signedMetadata, but ${found}`;
  if (index.state === 'untrusted' && isForeign(index.reason ?? '')) {
    return misfit('METADATA_FOREIGN_KEY', text, `Is ${keysOf(index.by)} upstream's? Compare it with what upstream publishes, then pin it.`);
  }
  if (packages === 'good') return misfit('METADATA_UNSIGNED', text, 'Its packages verify: declare signedPackages.', 'signedPackages');
  if (packages === 'unsigned') return misfit('METADATA_UNSIGNED', text, 'Its packages are not signed either.', 'digestsOnly');
  return misfit('METADATA_UNSIGNED', text, 'Declare what upstream does sign.');
}

function signedPackages(index: SignatureFact, packages: Packages, worst: SampleReport | undefined, empty: boolean): Judgement {
  switch (packages) {
    case 'good':
      if (index.state === 'good') {
        return {
          verdict: 'could be stronger',
          text: 'declared signedPackages: fits; metadata is signed too: signedMetadata would be stronger',
          instead: 'signedMetadata',
        };
      }
      if (index.state === 'absent') return { verdict: 'fits', text: 'declared signedPackages: fits; there is no repomd.xml.asc' };
      return { verdict: 'fits', text: `declared signedPackages: fits; its repomd.xml.asc is of no use: ${reasonOf(index)}` };
    case 'unsigned': {
      const text = `declared signedPackages, but ${described(worst)}`;
      if (index.state === 'good') return misfit('PACKAGES_UNSIGNED', text, 'Its metadata is signed and verifies.', 'signedMetadata');
      return misfit('PACKAGES_UNSIGNED', text, 'Its metadata has no good signature either.', 'digestsOnly');
    }
    case 'foreign':
      return misfit(
        'PACKAGES_FOREIGN_KEY',
        `declared signedPackages, but ${described(worst)}`,
        `Is ${keysOf(worst?.by ?? [])} upstream's? Compare it with what upstream publishes, then pin it.`,
      );
    case 'bad':
      return misfit(
        'PACKAGES_DAMAGED',
        `declared signedPackages, but ${described(worst)}`,
        'Look at that file; another address may have it right.',
      );
    case 'unchecked':
    case 'none':
      if (empty) return { verdict: 'fits', text: 'declared signedPackages: nothing to check, the repository is empty' };
      return {
        verdict: 'unknown',
        text: `declared signedPackages: no package could be checked${worst?.reason ? ` (${worst.reason})` : ''}`,
      };
  }
}

function digestsOnly(index: SignatureFact, packages: Packages, samples: readonly SampleReport[]): Judgement {
  const signed = samples.length > 0 && samples.every((s) => s.by.length > 0);
  const packageKeys = signed ? keysOf(samples.flatMap((s) => s.by)) : '';
  if (index.state !== 'absent' && 'by' in index && index.by.length > 0) {
    return {
      verdict: 'could be stronger',
      text: `declared digestsOnly: fits; repomd.xml.asc is by ${keysOf(index.by)}${signed ? `, packages are by ${packageKeys}` : ''}: with that key pinned, more could be verified`,
      instead: signed ? 'signedPackages' : 'signedMetadata',
    };
  }
  if (signed) {
    return {
      verdict: 'could be stronger',
      text: `declared digestsOnly: fits; packages are signed by ${packageKeys}: with that key pinned, signedPackages would be stronger`,
      instead: 'signedPackages',
    };
  }
  if (packages === 'bad') return { verdict: 'fits', text: 'declared digestsOnly: fits; a package that was looked at is none' };
  return { verdict: 'fits', text: 'declared digestsOnly: fits; nothing is signed' };
}

function misfit(code: string, text: string, remedy: string, instead?: TrustDefinition['mode']): Judgement {
  return {
    verdict: 'does not fit',
    text,
    ...(instead === undefined ? {} : { instead }),
    problem: { code, message: text, remedy, exitCode: 6 },
  };
}

function described(sample: SampleReport | undefined): string {
  return sample === undefined ? 'no package verifies' : `${sample.path}: ${sample.reason ?? sample.verdict}`;
}

function reasonOf(index: SignatureFact): string {
  return ('reason' in index ? index.reason : undefined) ?? 'it cannot be checked';
}

/** Keys as people compare them: the fingerprint where it is known. */
export function keysOf(by: readonly Issuer[]): string {
  return [...new Set(by.map((issuer) => issuer.fingerprint ?? issuer.keyId))].join(', ') || 'that key';
}
