// Keeps namespaces for groups: a caller who is in none of `groups` is denied everything in the
// namespaces that match one of `namespaces`. It has no opinion about all else.
//
//   settings:
//     namespaces: [secret-*]      # `*` is any run of characters, `?` is one
//     groups: [platform]

/** Settings, and every mistake in them with its path. */
export function read(text) {
  let root;
  try {
    root = JSON.parse(text);
  } catch (error) {
    return { problems: [{ path: '', message: `not JSON: ${error.message}` }] };
  }
  if (root === null || typeof root !== 'object' || Array.isArray(root)) {
    return { problems: [{ path: '', message: 'must be an object' }] };
  }
  const problems = [];
  for (const key of Object.keys(root)) {
    if (!['namespaces', 'groups'].includes(key)) {
      problems.push({ path: key, message: 'unknown key, not `namespaces` or `groups`' });
    }
  }
  const texts = (key) => {
    const list = root[key] ?? [];
    if (Array.isArray(list) && list.every((entry) => typeof entry === 'string')) {
      return list;
    }
    problems.push({ path: key, message: 'must be a list of texts' });
    return [];
  };
  return { settings: { namespaces: texts('namespaces'), groups: texts('groups') }, problems };
}

/** Decides for one target: a reason to deny, or nothing. */
export function denial(settings, subject, target) {
  const isMember = subject.groups.some((group) => settings.groups.includes(group));
  const isKept = settings.namespaces.some((pattern) => matches(pattern, target.namespace));
  return isKept && !isMember ? `only ${settings.groups.join(', ')} may have it` : undefined;
}

/** Whether the whole name matches. On a mismatch the last `*` takes one more character. */
function matches(pattern, name) {
  let [at, next, star, taken] = [0, 0, -1, 0];
  while (next < name.length) {
    if (pattern[at] === '*') {
      [star, taken] = [at, next];
      at += 1;
    } else if (pattern[at] === '?' || pattern[at] === name[next]) {
      at += 1;
      next += 1;
    } else if (star >= 0) {
      taken += 1;
      [at, next] = [star + 1, taken];
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(at));
}
