// Blocks an artifact with findings at or above a severity, but for the identifiers in `except`.
//
//   settings:
//     block: high                 # low, medium, high, critical
//     except: [CVE-2026-1234]

const SEVERITIES = ['unknown', 'low', 'medium', 'high', 'critical'];

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
    if (!['block', 'except'].includes(key)) {
      problems.push({ path: key, message: 'unknown key, not `block` or `except`' });
    }
  }
  const { block, except = [] } = root;
  // The first is `unknown`: what the scanner gives no severity never blocks.
  if (SEVERITIES.indexOf(block) < 1) {
    problems.push({ path: 'block', message: `must be one of ${SEVERITIES.slice(1).join(', ')}` });
  }
  if (!Array.isArray(except) || !except.every((entry) => typeof entry === 'string')) {
    problems.push({ path: 'except', message: 'must be a list of texts' });
  }
  return { settings: { block, except }, problems };
}

/** The findings that block. What an earlier plugin suppressed does not count. */
export function blocking(settings, findings) {
  const least = SEVERITIES.indexOf(settings.block);
  return findings.filter(
    (finding) =>
      finding.suppressed === undefined &&
      SEVERITIES.indexOf(finding.severity) >= least &&
      !settings.except.includes(finding.id),
  );
}

/** A reason for the resource's status: five of them by name. */
export function reason(findings) {
  const named = findings.slice(0, 5).map(({ id, severity }) => `${id} (${severity})`);
  return findings.length > 5 ? `${named.join(', ')} and more` : named.join(', ');
}
