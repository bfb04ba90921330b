import { type Command, Option } from 'commander';
import type { KeySource } from '../signatures/sign';
import { opened, print, printJson, sayWhenInterrupted, usage, warn, wholeSeconds, withSigner } from './cli';

const EXAMPLES = `
All files are published, or none. A file is refused that is no intact RPM package, is not signed by a key of the codename or its owner, is for
another architecture, is older than what is published, or is published with other content; one that is published already is skipped.
In layers of modified packages one that was built anew may replace the one before, which is kept: so their declaration says (rebuilt).
Of a directory all *.rpm in it and below are meant. Files are copied and stay where they are; the user mirror must be able to read them.

Exit codes: 3 where the first refused file breaks a rule, 6 where it could not be verified; nothing was changed then.

Examples:
  mirrorctl publish mos7.0-centos6/cr nailgun-7.0.1-2.noarch.rpm   one package
  mirrorctl publish acme/mos7.0-centos6/updates build/RPMS         all that a build made
  mirrorctl publish starlingx/stx-master-packages/flock build/RPMS build/SRPMS   modified packages of StarlingX
  mirrorctl publish mos7.0-centos6/os --comps comps.xml            groups for dnf group install; kept by later publishes`;

/** @param keys those that the program opened while it was still root */
export function addPublishCommand(root: Command, keys: () => KeySource): void {
  root
    .command('publish')
    .description('publish packages in a component of a codename, or in a layer of modified packages: all of them, or none')
    .argument('<component>', '<owner>/<codename>/<component>; without the owner it is of the product; starlingx/<id>/<layer>')
    .argument('[files...]', 'package files, and directories with some')
    .option('--allow-downgrade', 'also packages that are older than what is published, or were replaced', false)
    .option('--comps <file>', 'groups of packages (comps.xml), instead of those that are there')
    .option('--no-comps', 'take the groups away')
    .addOption(new Option('--wait <seconds>', 'wait so long for another publish or a deploy').default(600).argParser(wholeSeconds))
    .option('--json', 'print one JSON document on standard output', false)
    .addHelpText('after', EXAMPLES)
    .action(
      async (
        name: string,
        files: string[],
        options: { allowDowngrade: boolean; comps?: string | boolean; wait: number; json: boolean },
      ) => {
        const comps = options.comps === false ? null : typeof options.comps === 'string' ? options.comps : undefined;
        if (files.length === 0 && comps === undefined)
          throw usage('mirrorctl publish wants package files, or --comps', 'mirrorctl publish --help has examples.');
        sayWhenInterrupted();
        const { componentNamed } = await import('./component-name');
        const { offersIn, requireFile } = await import('./offered');
        const { changeComponent } = await import('./publish');
        const { exitCodeOf, outcomeLines } = await import('./publish-text');
        const { layout, definitions, declared } = await opened(root);
        const component = componentNamed(definitions, name);
        const add = offersIn(files);
        if (typeof comps === 'string') requireFile(comps);
        const outcome = await withSigner(keys(), layout, (signer) =>
          changeComponent(
            { layout, definitions, declared, signer, now: () => new Date(), say: warn, waitSeconds: options.wait },
            { component, add, remove: [], comps, allowDowngrade: options.allowDowngrade },
          ),
        );
        if (options.json) printJson(outcome);
        else for (const line of outcomeLines(outcome)) print(line);
        process.exitCode = exitCodeOf([outcome]);
      },
    );
}
