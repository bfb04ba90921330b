import { recordsToKeep } from '../../rpm-metadata/records';

const plan = (...types: string[]): unknown => {
  const { rewritten, updateinfo, comps, modules, kept, dropped } = recordsToKeep(types.map((type, index) => ({ type, index })));
  const name = ({ type, index }: { type: string; index: number }): string => `${type}${types.indexOf(type) === index ? '' : ` (${index})`}`;
  return {
    rewritten: rewritten.map(name),
    updateinfo: updateinfo.map(name),
    comps: comps === undefined ? undefined : name(comps),
    modules: modules.map(name),
    kept: kept.map(name),
    dropped: dropped.map(name),
  };
};
const nothing = { rewritten: [], updateinfo: [], comps: undefined, modules: [], kept: [], dropped: [] };

test.each<[string, string[], object]>([
  ['nothing', [], {}],
  ['the three', ['primary', 'filelists', 'other'], { rewritten: ['primary', 'filelists', 'other'] }],
  ['CentOS 7', ['primary', 'primary_db', 'group_gz', 'group'], { rewritten: ['primary'], dropped: ['primary_db'], comps: 'group_gz' }],
  ['group alone', ['group'], { comps: 'group' }],
  ['group in zchunk', ['group', 'group_zck', 'group_xz'], { comps: 'group_xz', dropped: ['group_zck'] }],
  ['only zchunk', ['group_zck', 'updateinfo_zck'], { dropped: ['group_zck', 'updateinfo_zck'] }],
  ['EPEL', ['updateinfo', 'updateinfo_zck', 'prestodelta'], { updateinfo: ['updateinfo'], dropped: ['updateinfo_zck', 'prestodelta'] }],
  ['SUSE', ['susedata', 'deltainfo', 'patterns'], { kept: ['susedata', 'patterns'], dropped: ['deltainfo'] }],
  ['AppStream', ['modules', 'modules_zck', 'productid'], { modules: ['modules'], kept: ['productid'], dropped: ['modules_zck'] }],
  ['databases', ['filelists_db', 'other_db', 'x_db'], { dropped: ['filelists_db', 'other_db', 'x_db'] }],
  ['createrepo_c 1.0', ['filelists-ext'], { dropped: ['filelists-ext'] }],
  [
    'a type twice',
    ['productid', 'productid', 'updateinfo', 'updateinfo'],
    { kept: ['productid'], updateinfo: ['updateinfo', 'updateinfo (3)'] },
  ],
  ['a type that ends like one', ['my_dbx', 'groups', 'group_'], { kept: ['my_dbx', 'groups', 'group_'] }],
])('%s', (_name, types, expected) => {
  expect(plan(...types)).toEqual({ ...nothing, ...expected });
});
