import { TRUST } from './rows/trust';
import { hostileSuite } from './support/suite';

hostileSuite(TRUST);
