import { LocalProvider } from '@cdktf/provider-local/lib/provider';
import { NullProvider } from '@cdktf/provider-null/lib/provider';
import { Annotations, TerraformStack, type TerraformBackend } from 'cdktf';
import type { Construct } from 'constructs';
import { isLocalOrReserved } from '../desired-state/validate';
import { checkMade, checkProps } from './private/check';
import { State } from './state';

/**
 * Exact versions for users. `null` only holds triggers; `local` asks the server while planning (`data.local_command`, since 2.6).
 * MIRROR_PROVIDERS=any widens both, for an air-gapped lab that builds others itself.
 */
const PINNED = { null: '3.2.4', local: '2.6.1' } as const;
const WIDENED = { null: '>= 2.1.2', local: '>= 2.6' } as const;

/** cdktf's name for: no stack trace beside an annotation, since the manifest would hold this machine's paths. */
const DISABLE_STACK_TRACE = '@cdktf/disable_stack_trace_in_metadata';

export interface MirrorStackProps {
  /**
   * Where Terraform's state is kept. A backend that is declared in the stack by cdktf's own classes goes before it.
   * @default what the environment variable MIRROR_STATE says, else the file `terraform.<stack>.tfstate` beside main.ts
   */
  readonly state?: State;
}

/** A stack for one mirror server. */
export class MirrorStack extends TerraformStack {
  private readonly state: State;
  private address: string | undefined;

  constructor(scope: Construct, id: string, props: MirrorStackProps = {}) {
    super(scope, id);
    this.node.setContext(DISABLE_STACK_TRACE, true);
    checkProps(this, props, { state: true });
    checkMade(this, 'state', props.state, props.state === undefined || (props.state as unknown) instanceof State, {
      allowed: 'a place for state is made by State.from',
      fix: 'state: State.from("https://state.example.org/mirror").',
    });
    this.state = props.state ?? State.from(process.env['MIRROR_STATE'] ?? `terraform.${id}.tfstate`);
    new NullProvider(this, 'Null');
    new LocalProvider(this, 'Local');
    const versions = process.env['MIRROR_PROVIDERS'] === 'any' ? WIDENED : PINNED;
    for (const [name, version] of Object.entries(versions)) {
      this.addOverride(`terraform.required_providers.${name}.version`, version);
    }
  }

  /**
   * The address that is deployed to.
   * @internal
   */
  deploysTo(address: string): void {
    this.address = address;
  }

  /** The declared place for state. cdktf's own default would write this machine's absolute path into the plan. */
  override ensureBackendExists(): TerraformBackend {
    const declared = this.node.tryFindChild('backend');
    if (declared) return declared as TerraformBackend;
    if (this.state.inCheckout && this.address !== undefined && !isLocalOrReserved(this.address)) {
      Annotations.of(this).addWarning(
        `the state of ${this.address} is a file in this checkout: another checkout would not find it, and nothing keeps two people from deploying at once. ` +
          'Declare a remote one: docs/how-to/remote-state.md.',
      );
    }
    return this.state.declareIn(this);
  }
}
