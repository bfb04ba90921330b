import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * How to start a program that ends with us, and writes no file beyond a limit: what stands before its name and arguments. Empty where the machine has
 * neither of these programs: a developer's need not be Linux.
 *
 * Where mirrorctl runs as a unit, systemd ends everything with its main process; and the unit's sandbox lets nobody set capabilities, which setpriv does at its start.
 *
 * @param limits options of prlimit: `--fsize=1000`
 */
export function bounded(limits: readonly string[]): readonly string[] {
  return [
    ...(process.env['INVOCATION_ID'] === undefined && isInstalled('setpriv') ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    ...(isInstalled('prlimit') ? ['prlimit', '--core=0', ...limits] : []),
  ];
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
