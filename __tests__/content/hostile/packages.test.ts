import { PACKAGES_ROWS } from './rows/packages';
import { hostileSuite } from './support/suite';

hostileSuite(PACKAGES_ROWS);
