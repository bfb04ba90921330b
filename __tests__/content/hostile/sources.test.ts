import { SOURCES } from './rows/sources';
import { hostileSuite } from './support/suite';

hostileSuite(SOURCES);
