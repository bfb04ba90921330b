/** Runbooks about content: a bad package, a customer removed by mistake. Each begins with what is really broken and runs what its page says. */
import { asItIs, dnf, fetchPath, lab, NAME, onMirror, withDeployment } from './support';
import { Checkout, Runbook } from './runbook';

jest.setTimeout(300_000);

beforeAll(async () => {
  lab('up');
  lab('upstream', 'restore');
  await withDeployment(asItIs, (deployment) => deployment.deploy());
  onMirror('mirrorctl sync --wait 300 centos-7-os');
});

test('bad-package', () => {
  const page = new Runbook('bad-package');
  const [found, taken, gone] = page.messages;
  const repoFile = `http://${NAME}/repo-files/centos-7-os.repo`;
  const bad = onMirror('mirrorctl explain bash').split(': ')[0]?.split(':')[1] as string;
  const replace = { 'bash-4.2.46-34.el7.x86_64': bad };
  const same = (text: string): string => text.replaceAll(bad, 'bash-4.2.46-34.el7.x86_64');
  const path = onMirror(`find /srv/mirror/repositories/centos-7-os/current/ -name '${bad}.rpm' -printf %P`).trim();
  try {
    expect(same(page.follow(0).text)).toMatch(found as RegExp);
    expect(same(page.follow(1, { replace }).text)).toMatch(taken as RegExp);
    expect(dnf([repoFile], 'repoquery', 'bash').stdout).not.toContain(bad);
    expect(dnf([repoFile], 'repoquery').status).toBe(0);
    onMirror(`! test -e /srv/mirror/repositories/centos-7-os/current/${path}`);
    // Upstream lists it still, beside something new.
    lab('upstream', 'update', 'https://vault.centos.org/7.9.2009/os/x86_64/', 'bash', '99');
    onMirror('mirrorctl sync --wait 300 centos-7-os');
    const listed = dnf([repoFile], 'repoquery', 'bash').stdout;
    expect(listed).toContain('99');
    expect(listed).not.toContain(bad);
    expect(same(page.follow(2).text)).toMatch(gone as RegExp);
  } finally {
    onMirror(`mirrorctl retention restore centos-7-os:${bad}`);
    // Where the lists had it already, it went from there, too.
    onMirror(`! mirrorctl explain stx-3.0:${bad} | grep -q quarantined || mirrorctl retention restore stx-3.0:${bad}`);
    lab('upstream', 'restore');
  }
  expect(dnf([repoFile], 'repoquery', '--qf', '%{name}-%{version}-%{release}.%{arch}\n', 'bash').stdout).toContain(bad);
});

test('customer-removed', async () => {
  const page = new Runbook('customer-removed');
  const [planned, kept, back] = page.messages;
  const base = '/customer/centos/mos7.0-centos6/os/x86_64/repodata/repomd.xml';
  const files = [base, `${base}.asc`];
  const before = await Promise.all(files.map((file) => fetchPath(file)));
  expect(before.map(({ status }) => status)).toEqual([200, 200]);
  const without = (main: string): string =>
    main
      .split('\n')
      .filter((line) => !/customer = new Customer|MosCodename\(customer/.test(line))
      .join('\n');
  const checkout = new Checkout();
  const commit = 'git -c user.name=o -c user.email=o@example.org commit -qam';
  try {
    checkout.run(`git init -q && git add -A && ${commit} before`);
    checkout.edit(without);
    const removal = checkout.run(`${commit} 'Remove a customer' && npm run --silent plan && npx cdktf deploy mirror`);
    expect(removal.text).toMatch(planned as RegExp);
    expect(removal.status).toBe(0);
    expect((await fetchPath(base)).status).toBe(404);
    expect(page.follow(0).text).toMatch(kept as RegExp);

    // Worse: somebody had it forgotten as well.
    onMirror('mirrorctl retention forget customer --now --reason "the contract has ended"');
    onMirror('! test -e /srv/mirror/repositories/customer');
    expect(page.follow(2).text).toMatch(back as RegExp);
    const environment = 'export GIT_AUTHOR_NAME=o GIT_AUTHOR_EMAIL=o@example.org GIT_COMMITTER_NAME=o GIT_COMMITTER_EMAIL=o@example.org';
    page.follow(1, { checkout, replace: { '# on your machine': environment } });
    const after = await Promise.all(files.map((file) => fetchPath(file)));
    expect(after.map(({ body }) => body.toString())).toEqual(before.map(({ body }) => body.toString()));
    expect(page.follow(3).text).toMatch(/ready/);
  } finally {
    checkout.remove();
  }
  await withDeployment(asItIs, (deployment) => deployment.deploy());
});
