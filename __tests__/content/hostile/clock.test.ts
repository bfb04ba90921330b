import { CLOCK } from './rows/clock';
import { hostileSuite } from './support/suite';

hostileSuite(CLOCK);
