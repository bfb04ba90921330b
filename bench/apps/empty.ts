/** As little as a cdktf app can deploy: one provider, one resource, local state. What a deploy costs before it does anything. */
import { NullProvider } from '@cdktf/provider-null/lib/provider';
import { Resource } from '@cdktf/provider-null/lib/resource';
import { App, LocalBackend, TerraformStack } from 'cdktf';

const app = new App();
const stack = new TerraformStack(app, 'empty');
new NullProvider(stack, 'Null');
// The lab's providers are not the ones that the package pins.
stack.addOverride('terraform.required_providers.null.version', '>= 2.1.2');
new Resource(stack, 'Resource', { triggers: { constant: 'value' } });
new LocalBackend(stack, { path: process.env['MIRROR_STATE'] ?? '../../../terraform.empty.tfstate' });
app.synth();
