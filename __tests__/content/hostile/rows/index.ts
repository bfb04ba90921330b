import type { Row } from '../support/row';
import { CLOCK } from './clock';
import { FILES } from './files';
import { HTTP } from './http';
import { LOCATIONS_ROWS } from './locations';
import { MERGING } from './merging';
import { METADATA } from './metadata';
import { PACKAGES_ROWS } from './packages';
import { REDIRECTS_ROWS } from './redirects';
import { SOURCES } from './sources';
import { TRUST } from './trust';

/** Every hostile upstream, by what is hostile about it. */
export const SUBJECTS: Readonly<Record<string, readonly Row[]>> = {
  metadata: METADATA,
  files: FILES,
  merging: MERGING,
  locations: LOCATIONS_ROWS,
  packages: PACKAGES_ROWS,
  http: HTTP,
  redirects: REDIRECTS_ROWS,
  sources: SOURCES,
  trust: TRUST,
  clock: CLOCK,
};
