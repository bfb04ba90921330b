import { LocalProvider } from '@cdktf/provider-local/lib/provider';
import { NullProvider } from '@cdktf/provider-null/lib/provider';
import { LocalBackend, TerraformStack, type TerraformBackend } from 'cdktf';
import type { Construct } from 'constructs';

/**
 * Exact versions for users. `null` only holds triggers; `local` asks the server while planning (`data.local_command`, since 2.6).
 * MIRROR_PROVIDERS=any widens both, for an air-gapped lab that builds others itself.
 */
const PINNED = { null: '3.2.4', local: '2.6.1' } as const;
const WIDENED = { null: '>= 2.1.2', local: '>= 2.6' } as const;

/** A stack for one mirror server. Its state is a file beside the project until a backend is declared (outside a lab: always declare one). */
export class MirrorStack extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new NullProvider(this, 'Null');
    new LocalProvider(this, 'Local');
    const versions = process.env['MIRROR_PROVIDERS'] === 'any' ? WIDENED : PINNED;
    for (const [name, version] of Object.entries(versions)) {
      this.addOverride(`terraform.required_providers.${name}.version`, version);
    }
  }

  /**
   * Where state is kept when the app declares no backend: `terraform.<stack>.tfstate` in the project, or the file that the environment
   * variable MIRROR_STATE names. cdktf's own default would write this machine's absolute path into the plan.
   */
  override ensureBackendExists(): TerraformBackend {
    const declared = this.node.tryFindChild('backend');
    if (declared) return declared as TerraformBackend;
    return new LocalBackend(this, { path: process.env['MIRROR_STATE'] ?? `../../../terraform.${this.node.id}.tfstate` });
  }
}
