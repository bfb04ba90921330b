import { FILES } from './rows/files';
import { MERGING } from './rows/merging';
import { hostileSuite } from './support/suite';

hostileSuite([...FILES, ...MERGING]);
