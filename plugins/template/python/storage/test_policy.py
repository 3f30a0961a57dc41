import unittest

import policy

OPERATOR = '{"store": "s3://depot"}'


class PolicyTest(unittest.TestCase):
    def test_settings_of_both_sides(self):
        for backend, folder in [(None, None), ("{}", None), ('{"folder": "x"}', "x")]:
            with self.subTest(backend=backend):
                settings, problems = policy.read(OPERATOR, backend)
                self.assertEqual((settings["folder"], problems), (folder, []))

    def test_hostile_names_make_no_key(self):
        self.assertEqual(policy.key_of([None, "module", "a", None, "1.zip"]), "module/a/1.zip")
        for name in ["", ".", "..", "a/b", "a\\b", "a\n", "\x85", "x" * 2000]:
            with self.subTest(name=name[:9]):
                self.assertIsNone(policy.key_of(["module", name]))

    def test_every_mistake_is_reported_with_its_path(self):
        for operator, backend, paths in [
            (OPERATOR, None, []),
            ("{}", None, ["operator.store"]),
            ("[]", "{", ["operator", "backend"]),
            (
                '{"store": 1, "key": 2}',
                '{"folder": "../x"}',
                ["operator.key", "operator.store", "backend.folder"],
            ),
        ]:
            with self.subTest(operator=operator, backend=backend):
                _, problems = policy.read(operator, backend)
                self.assertEqual([path for path, _ in problems], paths)


if __name__ == "__main__":
    unittest.main()
