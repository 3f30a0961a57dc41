// What the host calls. The policy itself is in policy.mjs, where tests reach it.
//
// A variant is { tag, val }, an absent option is undefined, a u64 is a BigInt. Throw what the WIT
// text calls `error`; anything else that is thrown ends the call, as unavailable.
import { keyOf, read } from './policy.mjs';

function settingsOf(configuration) {
  const { settings, problems } = read(configuration);
  if (problems.length > 0) {
    throw { tag: 'invalid-settings', val: problems };
  }
  return settings;
}

export const backend = {
  validate(configuration) {
    settingsOf(configuration);
  },

  // Asked once for each new artifact; store and key are then recorded.
  locate(configuration, artifact) {
    const settings = settingsOf(configuration);
    const key = keyOf(settings, artifact);
    if (key === undefined) {
      throw { tag: 'denied', val: 'a name of it cannot be part of a key' };
    }
    return { store: settings.store, key, attributes: [], options: [], credentials: undefined };
  },

  // The host's client acts on the placement as it is, which is all that these stores need.
  plan(_configuration, _artifact, placement, operation, _now) {
    switch (operation.tag) {
      case 'prepare':
        return { tag: 'nothing' };
      case 'other':
        throw { tag: 'unsupported', val: `operation \`${operation.val}\`` };
      default:
        return { tag: 'native', val: placement };
    }
  },
};
