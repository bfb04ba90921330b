/** A distribution that uses RPM packages; its name is part of public paths. */
export enum Distribution {
  CENTOS = 'centos',
  FEDORA = 'fedora',
  ORACLE_LINUX = 'oraclelinux',
  RHEL = 'rhel',
}
