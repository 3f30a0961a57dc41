"""What the host calls. The policy itself is in policy.py, where tests reach it.

The package `wit_world` is made of `wit/` while building; to have it in an editor, run
`.venv/bin/componentize-py --wit-path wit --world scan-plugin bindings bindings`.
Raise `Err` of what the WIT text calls `error`; any other exception ends the call, which counts as not scanned.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import opendepot_host_types as host
from wit_world.imports import opendepot_scan_types as scan

import policy


def settings_of(text):
    settings, problems = policy.read(text)
    if problems:
        raise Err(scan.Error_InvalidSettings([host.Problem(*problem) for problem in problems]))
    return settings


class PostProcessor(exports.PostProcessor):
    def validate(self, settings):
        settings_of(settings)

    def process(self, settings, artifact, report, context, now):
        settings = settings_of(settings)
        found = []
        for finding in report.findings:
            severity = finding.severity.name.lower()
            if policy.blocks(settings, finding.id, severity, finding.suppressed):
                found.append((finding.id, severity))
        verdict = scan.Verdict_Block(policy.reason(found)) if found else scan.Verdict_Publish()
        return scan.Outcome(judgements=[], verdict=verdict)
