// What the host calls. The policy itself is in policy.mjs, where tests reach it.
//
// A variant is { tag, val }, an absent option is undefined, a u64 is a BigInt. Throw what the WIT
// text calls `error`; anything else that is thrown ends the call, which counts as not scanned.
import { blocking, read, reason } from './policy.mjs';

function settingsOf(text) {
  const { settings, problems } = read(text);
  if (problems.length > 0) {
    throw { tag: 'invalid-settings', val: problems };
  }
  return settings;
}

export const postProcessor = {
  validate(settings) {
    settingsOf(settings);
  },

  process(settings, _artifact, report, _context, _now) {
    const found = blocking(settingsOf(settings), report.findings);
    const verdict = found.length > 0 ? { tag: 'block', val: reason(found) } : { tag: 'publish' };
    return { judgements: [], verdict };
  },
};
