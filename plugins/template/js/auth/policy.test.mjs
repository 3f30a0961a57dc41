import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denial, read } from './policy.mjs';

const { settings } = read('{"namespaces": ["secret-*"], "groups": ["platform"]}');

for (const [groups, namespace, isDenied] of [
  [['platform'], 'secret-a', false],
  [['dev', 'platform'], 'secret-a', false],
  [['dev'], 'secret-a', true],
  [[], 'secret-a', true],
  [['dev'], 'demo', false],
  [['dev'], 'not-secret-a', false],
]) {
  test(`[${groups}] in ${namespace}`, () => {
    assert.equal(denial(settings, { groups }, { namespace }) !== undefined, isDenied);
  });
}

for (const [pattern, namespace, isMatch] of [
  ['*', 'a', true],
  ['a', 'a', true],
  ['a', 'ab', false],
  ['a?', 'ab', true],
  ['*-a*b', 'x-aab', true],
  ['*-a*b', 'x-aac', false],
  ['', 'a', false],
]) {
  test(`${namespace} by ${pattern}`, () => {
    const kept = { namespaces: [pattern], groups: ['platform'] };
    assert.equal(denial(kept, { groups: [] }, { namespace }) !== undefined, isMatch);
  });
}

for (const [text, paths] of [
  ['{}', []],
  ['{"groups": ["a"]}', []],
  ['{', ['']],
  ['[]', ['']],
  ['{"group": [], "namespaces": "all"}', ['group', 'namespaces']],
  ['{"groups": [1]}', ['groups']],
]) {
  test(`problems of ${text}`, () => {
    assert.deepEqual(read(text).problems.map((problem) => problem.path), paths);
  });
}
