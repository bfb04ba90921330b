import { METADATA } from './rows/metadata';
import { hostileSuite } from './support/suite';

hostileSuite(METADATA);
