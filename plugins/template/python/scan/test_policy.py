import unittest

import policy


class PolicyTest(unittest.TestCase):
    def test_what_is_bad_enough_blocks(self):
        settings, _ = policy.read('{"block": "high", "except": ["CVE-2"]}')
        for identifier, severity, suppressed, blocks in [
            ("CVE-1", "critical", None, True),
            ("CVE-1", "high", None, True),
            ("CVE-1", "medium", None, False),
            ("CVE-1", "unknown", None, False),
            ("CVE-1", "critical", "allowlist: accepted", False),
            ("CVE-2", "critical", None, False),
        ]:
            with self.subTest(identifier=identifier, severity=severity, suppressed=suppressed):
                self.assertEqual(policy.blocks(settings, identifier, severity, suppressed), blocks)

    def test_a_reason_is_short(self):
        self.assertEqual(policy.reason([("A", "low")]), "A (low)")
        self.assertTrue(policy.reason([("A", "low")] * 9).endswith(" and more"))

    def test_every_mistake_is_reported_with_its_path(self):
        for text, paths in [
            ('{"block": "low"}', []),
            ("{", [""]),
            ("[]", [""]),
            ("{}", ["block"]),
            ('{"block": [], "expect": [], "except": [1]}', ["expect", "block", "except"]),
        ]:
            with self.subTest(text=text):
                _, problems = policy.read(text)
                self.assertEqual([path for path, _ in problems], paths)


if __name__ == "__main__":
    unittest.main()
