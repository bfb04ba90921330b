/** What the campaign itself could not do: its host did not boot, a fault could not be brought about. Counts as a failure of the campaign. */
export class CampaignError extends Error {
  override readonly name = 'CampaignError';
}
