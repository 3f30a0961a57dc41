// Places artifacts in one store that the operator names, by kind, namespace, name and version. A
// resource may ask for a folder of its own.
//
//   settings:                     # the operator's
//     store: s3://depot-artifacts # a grant under `stores` must match it
//   # and in a resource:
//   storageConfig: { plugin: { name: @NAME@, settings: { folder: team-a } } }

/** Settings of both sides, and every mistake in them with its path. */
export function read(configuration) {
  const problems = [];
  const operator = side('operator', configuration.operator, ['store'], problems);
  const backend = side('backend', configuration.backend ?? '{}', ['folder'], problems);
  const { store } = operator ?? {};
  const { folder } = backend ?? {};
  if (operator && (typeof store !== 'string' || store === '')) {
    problems.push({ path: 'operator.store', message: 'is required, as text' });
  }
  if (folder !== undefined && (typeof folder !== 'string' || !isSegment(folder))) {
    problems.push({ path: 'backend.folder', message: 'cannot be part of a key' });
  }
  return { settings: { store, folder }, problems };
}

function side(name, text, known, problems) {
  let root;
  try {
    root = JSON.parse(text);
  } catch (error) {
    problems.push({ path: name, message: `not JSON: ${error.message}` });
    return undefined;
  }
  if (root === null || typeof root !== 'object' || Array.isArray(root)) {
    problems.push({ path: name, message: 'must be an object' });
    return undefined;
  }
  for (const key of Object.keys(root)) {
    if (!known.includes(key)) {
      problems.push({ path: `${name}.${key}`, message: `unknown key, not \`${known}\`` });
    }
  }
  return root;
}

/** The key of an artifact, or nothing when a name cannot be part of one. Artifacts that differ must
 * not get one key. */
export function keyOf(settings, artifact) {
  const segments = [
    settings.folder,
    artifact.kind.tag === 'other' ? artifact.kind.val : artifact.kind.tag,
    artifact.namespace,
    artifact.name,
    artifact.version,
    artifact.os,
    artifact.arch,
    artifact.fileName,
  ].filter((segment) => segment !== undefined);
  const key = segments.join('/');
  return segments.every(isSegment) && key.length <= 1024 ? key : undefined;
}

function isSegment(text) {
  return !['', '.', '..'].includes(text) && !/[\u0000-\u001f\u007f-\u009f/\\]/.test(text);
}
