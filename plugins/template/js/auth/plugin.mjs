// What the host calls. The policy itself is in policy.mjs, where tests reach it.
//
// A variant is { tag, val }, an absent option is undefined, a u64 is a BigInt. Throw what the WIT
// text calls `error`; anything else that is thrown ends the call, which denies.
import { denial, read } from './policy.mjs';

function settingsOf(text) {
  const { settings, problems } = read(text);
  if (problems.length > 0) {
    throw { tag: 'invalid-settings', val: problems };
  }
  return settings;
}

export const policy = {
  validate(settings) {
    settingsOf(settings);
  },

  // Called when settings change. What is slow to make belongs into `state`, which every call of
  // `authorize` gets.
  prepare(settings, _bindings) {
    settingsOf(settings);
    return { state: new Uint8Array(), problems: [] };
  },

  authorize(text, _state, subject, _action, targets, _now) {
    const settings = settingsOf(text);
    return targets.map((target) => {
      const reason = denial(settings, subject, target);
      // The reason goes to the audit log; callers never see it.
      return reason === undefined ? { tag: 'abstain' } : { tag: 'deny', val: reason };
    });
  },
};
