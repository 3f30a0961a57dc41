import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocking, read, reason } from './policy.mjs';

const { settings } = read('{"block": "high", "except": ["CVE-2"]}');

for (const [id, severity, suppressed, blocks] of [
  ['CVE-1', 'critical', undefined, true],
  ['CVE-1', 'high', undefined, true],
  ['CVE-1', 'medium', undefined, false],
  ['CVE-1', 'unknown', undefined, false],
  ['CVE-1', 'critical', 'allowlist: accepted', false],
  ['CVE-2', 'critical', undefined, false],
]) {
  test(`${id} ${severity} ${suppressed ?? ''}`, () => {
    assert.equal(blocking(settings, [{ id, severity, suppressed }]).length === 1, blocks);
  });
}

test('a reason is short', () => {
  assert.equal(reason([{ id: 'A', severity: 'low' }]), 'A (low)');
  assert.match(reason(Array(9).fill({ id: 'A', severity: 'low' })), / and more$/);
});

for (const [text, paths] of [
  ['{"block": "low"}', []],
  ['{', ['']],
  ['[]', ['']],
  ['{}', ['block']],
  ['{"block": "unknown", "expect": [], "except": [1]}', ['expect', 'block', 'except']],
]) {
  test(`problems of ${text}`, () => {
    assert.deepEqual(read(text).problems.map((problem) => problem.path), paths);
  });
}
