/** What to do when `terraform init` failed, from what it printed. */
export function initRemedy(said: string): string {
  const general = 'The registry, or the backend of the state, must answer.';
  // Terraform wraps its messages, with a bar at the start of each line.
  const text = said.replace(/[\s│╷╵]+/g, ' ');
  const providers =
    /no available releases match|Failed to query available provider packages|Could not retrieve the list of available versions/.test(text);
  return providers ? `${general} To plan against the lab, which has providers of its own: eval "$(scripts/lab env)"` : general;
}
