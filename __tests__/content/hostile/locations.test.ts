import { LOCATIONS_ROWS } from './rows/locations';
import { hostileSuite } from './support/suite';

hostileSuite(LOCATIONS_ROWS);
