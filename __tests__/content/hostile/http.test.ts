import { HTTP } from './rows/http';
import { REDIRECTS_ROWS } from './rows/redirects';
import { hostileSuite } from './support/suite';

hostileSuite([...HTTP, ...REDIRECTS_ROWS]);
