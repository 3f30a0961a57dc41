import unittest

import policy


class PolicyTest(unittest.TestCase):
    def test_only_members_have_what_is_kept(self):
        settings, _ = policy.read('{"namespaces": ["secret-*"], "groups": ["platform"]}')
        for groups, namespace, is_denied in [
            (["platform"], "secret-a", False),
            (["dev", "platform"], "secret-a", False),
            (["dev"], "secret-a", True),
            ([], "secret-a", True),
            (["dev"], "demo", False),
            (["dev"], "not-secret-a", False),
        ]:
            with self.subTest(groups=groups, namespace=namespace):
                denied = policy.denial(settings, groups, namespace) is not None
                self.assertEqual(denied, is_denied)

    def test_every_mistake_is_reported_with_its_path(self):
        for text, paths in [
            ("{}", []),
            ('{"groups": ["a"]}', []),
            ("{", [""]),
            ("[" * 100_000, [""]),
            ("[]", [""]),
            ('{"group": [], "namespaces": "all"}', ["group", "namespaces"]),
            ('{"groups": [1]}', ["groups"]),
        ]:
            with self.subTest(text=text[:40]):
                _, problems = policy.read(text)
                self.assertEqual([path for path, _ in problems], paths)


if __name__ == "__main__":
    unittest.main()
