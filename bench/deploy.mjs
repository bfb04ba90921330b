// Deploys of 50 and 200 repositories: first, unchanged, one more; beside Ansible and the floor, on one host in one run.
import { Ansible, installAnsible, resetPeers } from './ansible.mjs';
import { Floor } from './floor.mjs';
import { hostUp } from './host.mjs';
import { measured, Results } from './measure.mjs';
import { Cdktf } from './ours.mjs';

const atLeast = (times) => ({ text: `at least ${times} times faster`, met: (row) => row.ratio >= times });
const within = (times) => ({ text: `within ${times} times of the floor`, met: (row) => row.ours <= times * row.peer });
const faster = { text: 'faster', met: (row) => row.ratio > 1 };
const near = { text: 'within 2 s of the empty app', met: (row) => row.ours - row.peer <= 2 };

/** The contenders, quickest first. `beside`: which part of ours does the same as the peer. */
const peers = [
  {
    name: 'floor',
    title: 'ssh, tar',
    beside: 'server',
    measuredPart: 'unpack',
    make: (host) => new Floor(host),
    aim: () => within(3),
  },
  {
    name: 'floor-with-reload',
    title: 'ssh, tar, reload of systemd and nginx',
    beside: 'server',
    measuredPart: 'unpack',
    make: (host) => new Floor(host, { reload: true }),
    aim: () => undefined,
  },
  {
    name: 'synchronize',
    title: 'Ansible, one synchronize',
    beside: 'whole',
    make: (host) => new Ansible('synchronize', host),
    aim: () => undefined,
  },
  {
    name: 'mitogen',
    title: 'Ansible, the same role, mitogen',
    beside: 'whole',
    make: (host) => new Ansible('mitogen', host),
    aim: () => faster,
  },
  {
    name: 'role',
    title: 'Ansible, idiomatic role, pipelining',
    beside: 'whole',
    make: (host) => new Ansible('role', host),
    aim: (size) => atLeast(size >= 200 ? 40 : 15),
  },
];

export async function deploy({ sizes = [50, 200], keep = false, without = [] } = {}) {
  const results = new Results('deploy');
  process.stderr.write('preparing: lab, Ansible, host\n');
  await installAnsible();
  const host = await hostUp();
  try {
    await host.prepare();
    const empty = new Cdktf('empty', host);
    const many = new Cdktf('many', host);

    // ---- what a deploy costs before it does anything
    empty.forget();
    await empty.deploy(0);
    const emptyDeploy = await measured('empty cdktf app: deploy, unchanged', { action: () => empty.deploy(0) });
    const emptySynth = await measured('empty cdktf app: synthesis', { action: () => empty.synth(0) });
    const synth = await measured('ours: synthesis of 1,000 repositories', { action: () => many.synth(1000) });
    results.add('synthesis of 1,000 repositories (`cdktf synth`)', synth, emptySynth, 'empty cdktf app');

    for (const size of sizes) {
      process.stderr.write(`${size} repositories\n`);
      const ours = await oursAt(many, size);
      for (const what of ['first', 'unchanged', 'one more'])
        results.add(`${what} deploy of ${size}, terraform apply alone`, ours.terraform[what]);
      results.add(`unchanged deploy of ${size}`, ours.whole.unchanged, emptyDeploy, 'empty cdktf app, unchanged', near);
      await many.settle();
      for (const peer of peers.filter((p) => !without.includes(p.name))) {
        const theirs = await peerAt(peer.name, size, peer.make(host), peer.measuredPart);
        // After every peer, so that a run that is cut off leaves what it found; the slowest comes last.
        for (const what of ['first', 'unchanged', 'one more']) {
          const suffix = peer.beside === 'server' ? ", the server's part alone" : '';
          results.add(`${what} deploy of ${size}${suffix}`, ours[peer.beside][what], theirs[what], peer.title, peer.aim(size));
        }
      }
    }
    await resetPeers(host);
  } finally {
    if (!keep) await host.down();
  }
}

/** Ours three ways: the whole deploy, `terraform apply` on what is synthesized, and the apply program's SSH session. */
async function oursAt(many, size) {
  const ways = {
    whole: { action: (count) => many.deploy(count), prepare: async () => {} },
    terraform: { action: (count) => many.apply(count), prepare: (count) => many.synth(count) },
    server: {
      action: (count, drift) => many.activate(count, drift),
      prepare: async (count) => {
        await many.synth(count);
        return many.observe(count);
      },
    },
  };
  const found = {};
  for (const [way, { action, prepare }] of Object.entries(ways)) {
    const label = `ours, ${way}`;
    let count = size;
    let drift = '';
    const ready = async () => {
      await many.settle();
      drift = await prepare(count);
    };
    const once = { action: () => action(count, drift) };
    found[way] = {};
    found[way].first = await measured(`${label}: first deploy of ${size}`, {
      ...once,
      runs: way === 'whole' ? 2 : 1,
      before: async () => {
        await many.reset();
        await ready();
      },
    });
    found[way].unchanged = await measured(`${label}: unchanged deploy of ${size}`, { ...once, before: ready });
    found[way]['one more'] = await measured(`${label}: one more than ${size}`, {
      ...once,
      runs: 2,
      before: async () => {
        count++;
        await ready();
      },
    });
  }
  return found;
}

/** A peer: `deploy(count)` does it all, or prepares what `measuredPart` then does. */
async function peerAt(label, size, peer, measuredPart) {
  let count = size;
  const prepare = async () => {
    if (measuredPart) await peer.deploy(count);
  };
  const action = () => (measuredPart ? peer[measuredPart]() : peer.deploy(count));
  const first = await measured(`${label}: first deploy of ${size}`, {
    action,
    runs: 1,
    before: async () => {
      await peer.reset();
      await prepare();
    },
  });
  const quick = first.value < 60;
  const unchanged = await measured(`${label}: unchanged deploy of ${size}`, { action, runs: quick ? 3 : 1, before: prepare });
  const more = await measured(`${label}: one more than ${size}`, {
    action,
    runs: quick ? 2 : 1,
    before: async () => {
      count++;
      await prepare();
    },
  });
  await peer.reset();
  return { first, unchanged, 'one more': more };
}
