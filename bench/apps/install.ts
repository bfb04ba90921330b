/** Keeps compiled code beside programs, by the code with which mirror-host installs them: `install.cjs DIRECTORY`. */
import { keepCompiled } from '../../host-agent/programs';

keepCompiled(process.argv[2] as string);
