"""What the host calls. The policy itself is in policy.py, where tests reach it.

The package `wit_world` is made of `wit/` while building; to have it in an editor, run
`.venv/bin/componentize-py --wit-path wit --world storage-plugin bindings bindings`.
Raise `Err` of what the WIT text calls `error`; any other exception ends the call, as unavailable.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import opendepot_host_types as host
from wit_world.imports import opendepot_storage_types as storage

import policy


def settings_of(configuration):
    settings, problems = policy.read(configuration.operator, configuration.backend)
    if problems:
        raise Err(storage.Error_InvalidSettings([host.Problem(*problem) for problem in problems]))
    return settings


def kind_of(artifact):
    match artifact.kind:
        case host.ArtifactKind_Module():
            return "module"
        case host.ArtifactKind_Provider():
            return "provider"
        case host.ArtifactKind_Other(name):
            return name


class Backend(exports.Backend):
    def validate(self, configuration):
        settings_of(configuration)

    def locate(self, configuration, artifact):
        """Asked once for each new artifact; store and key are then recorded. Artifacts that differ
        must not get one key."""
        settings = settings_of(configuration)
        key = policy.key_of(
            [
                settings["folder"],
                kind_of(artifact),
                artifact.namespace,
                artifact.name,
                artifact.version,
                artifact.os,
                artifact.arch,
                artifact.file_name,
            ]
        )
        if key is None:
            raise Err(storage.Error_Denied("a name of it cannot be part of a key"))
        return storage.Placement(settings["store"], key, [], [], None)

    def plan(self, configuration, artifact, placement, operation, now):
        """The host's client acts on the placement as it is, which is all these stores need."""
        match operation:
            case storage.Operation_Prepare():
                return storage.Transfer_Nothing()
            case storage.Operation_Other(name):
                raise Err(storage.Error_Unsupported(f"operation `{name}`"))
            case _:
                return storage.Transfer_Native(placement)
