/** What main.ts declares a mirror with. */
export { Access } from './access';
export { Customer, type CustomerProps } from './customer';
export { Distribution } from './distribution';
export { MirrorServer, type JumpHost, type MirrorServerProps } from './mirror-server';
export { MirrorStack, type MirrorStackProps } from './mirror-stack';
export { MosCodename, Variant, type MosCodenameProps } from './mos-codename';
export { NginxVhost, type NginxVhostProps } from './nginx-vhost';
export { PublicKey } from './public-key';
export { RpmRepository, View, type RpmRepositoryProps } from './rpm-repository';
export { Secret, type SecretOptions } from './secret';
export { State } from './state';
export { SyncSchedule } from './sync-schedule';
export { SyncTimer, type SyncTimerProps } from './sync-timer';
export { Trust } from './trust';
export { Waiver } from './waiver';
