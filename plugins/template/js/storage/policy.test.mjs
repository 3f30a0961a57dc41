import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf, read } from './policy.mjs';

const operator = '{"store": "s3://depot"}';
const provider = {
  kind: { tag: 'provider' },
  namespace: 'team-a',
  name: 'aws',
  version: '5.0.0',
  os: 'linux',
  arch: 'amd64',
  fileName: 'aws.zip',
};

for (const [backend, folder] of [
  [undefined, ''],
  ['{}', ''],
  ['{"folder": "x"}', 'x/'],
]) {
  test(`the key of ${backend}`, () => {
    const { settings } = read({ operator, backend });
    assert.equal(settings.store, 's3://depot');
    const key = `${folder}provider/team-a/aws/5.0.0/linux/amd64/aws.zip`;
    assert.equal(keyOf(settings, provider), key);
  });
}

for (const fileName of ['', '..', 'a/b', 'a\\b', 'a\n', 'x'.repeat(2000)]) {
  test(`no key with ${JSON.stringify(fileName.slice(0, 9))}`, () => {
    assert.equal(keyOf({}, { ...provider, fileName }), undefined);
  });
}

for (const [text, backend, paths] of [
  [operator, undefined, []],
  ['{}', undefined, ['operator.store']],
  ['[]', '{', ['operator', 'backend']],
  ['{"store": 1, "key": 2}', '{"folder": "../x"}', ['operator.key', 'operator.store', 'backend.folder']],
]) {
  test(`problems of ${text} and ${backend}`, () => {
    const { problems } = read({ operator: text, backend });
    assert.deepEqual(problems.map((problem) => problem.path), paths);
  });
}
