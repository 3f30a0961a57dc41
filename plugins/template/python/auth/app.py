"""What the host calls. The policy itself is in policy.py, where tests reach it.

The package `wit_world` is made of `wit/` while building; to have it in an editor, run
`.venv/bin/componentize-py --wit-path wit --world auth-plugin bindings bindings`.
Raise `Err` of what the WIT text calls `error`; any other exception ends the call, which denies.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import opendepot_auth_types as auth
from wit_world.imports import opendepot_host_types as host

import policy


def settings_of(text):
    settings, problems = policy.read(text)
    if problems:
        raise Err(auth.Error_InvalidSettings([host.Problem(*problem) for problem in problems]))
    return settings


class Policy(exports.Policy):
    def validate(self, settings):
        settings_of(settings)

    def prepare(self, settings, bindings):
        """Called when settings change. What is slow to make belongs into `state`, which every
        call of `authorize` gets."""
        settings_of(settings)
        return auth.Prepared(state=b"", problems=[])

    def authorize(self, settings, state, subject, action, targets, now):
        settings = settings_of(settings)
        decisions = []
        for target in targets:
            reason = policy.denial(settings, subject.groups, target.namespace)
            # The reason goes to the audit log; callers never see it.
            decisions.append(auth.Decision_Deny(reason) if reason else auth.Decision_Abstain())
        return decisions
