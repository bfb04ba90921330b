/** Disks that are full, of bytes or of inodes, below each directory that a deploy writes to. */
import type { Deployment } from '../deployment';
import type { Fault, Field } from '../fault';

const DIRECTORIES = ['/etc/mirror', '/var/lib/mirror', '/usr/local/lib/mirror', '/etc/systemd/system', '/srv/mirror'] as const;

/** Puts a small file system with the same content over a directory, so that it alone is full. */
async function cover(field: Field, directory: string, options: string): Promise<void> {
  await field.host.do(
    `mkdir -p /run/small /run/beneath && mount --bind ${directory} /run/beneath && mount --make-private /run/beneath && mount -t tmpfs -o ${options} tmpfs /run/small && ` +
      `chmod --reference=${directory} /run/small && chown --reference=${directory} /run/small && cp -a ${directory}/. /run/small/ && mount --bind /run/small ${directory}`,
  );
}

/** Takes it away again; what was written meanwhile stays. */
async function uncover(field: Field, directory: string): Promise<void> {
  await field.host.do(
    `rm -rf /run/small/.filler* && find /run/beneath -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} + && cp -a /run/small/. /run/beneath/ && ` +
      `umount ${directory} && umount /run/small && umount /run/beneath && systemctl daemon-reload`,
  );
}

/** Fills it up, and leaves so many pages of 4 KiB, or inodes. */
const fill = (what: 'bytes' | 'inodes', left: number): string =>
  what === 'bytes'
    ? `head -c $((4096 * ${left})) /dev/zero > /run/small/.filler-left; cat /dev/zero > /run/small/.filler 2>/dev/null; rm /run/small/.filler-left`
    : `mkdir /run/small/.filler; i=0; while : 2>/dev/null > /run/small/.filler/$i; do i=$((i+1)); done; for j in $(seq ${left}); do rm /run/small/.filler/$((i-j)); done`;

export function fullDisks(): Fault[] {
  return DIRECTORIES.flatMap((directory) =>
    (['bytes', 'inodes'] as const).flatMap((what) =>
      [0, 6].map((left): Fault => ({
        kind: 'full disk',
        what: `${directory} has no ${what} left${left === 0 ? '' : ` but for ${left} ${what === 'bytes' ? 'pages' : 'of them'}`}`,
        alone: true,
        short: directory === '/var/lib/mirror' && left === 0 && what === 'bytes',
        strike: async (field) => {
          const used = Number((await field.host.do(`du -sxm ${directory} | cut -f1`)).trim());
          const count = Number((await field.host.do(`find ${directory} -xdev | wc -l`)).trim());
          await cover(field, directory, what === 'bytes' ? `size=${used + 4}m` : `nr_inodes=${count + 300}`);
          try {
            await field.host.do(fill(what, left));
            const deployment: Deployment =
              directory === '/usr/local/lib/mirror' ? field.there.upgraded(`full ${what} ${left}`) : field.there;
            const deploy = await deployment.apply();
            // It may be taken back on the full disk: that is part of the fault.
            await field.host.rests(4);
            return { deploy };
          } finally {
            await uncover(field, directory);
          }
        },
      })),
    ),
  );
}
