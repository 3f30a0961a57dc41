"""Places artifacts in one store that the operator names, by kind, namespace, name and version. A
resource may ask for a folder of its own.

    settings:                     # the operator's
      store: s3://depot-artifacts # a grant under `stores` must match it
    # and in a resource:
    storageConfig: { plugin: { name: @NAME@, settings: { folder: team-a } } }
"""

import json
import unicodedata
from itertools import accumulate

MAX_KEY_BYTES = 1024
MAX_DEPTH = 100


def parse(text):
    """JSON. The parser calls itself for each level, and a stack that is used up ends the call."""
    if max(accumulate((c in "[{") - (c in "]}") for c in text), default=0) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return json.loads(text)


def read(operator, backend):
    """Settings of both sides, and every mistake in them as pairs of path and message."""
    problems = []
    settings = {
        "store": _text("operator", operator, "store", problems),
        "folder": None if backend is None else _text("backend", backend, "folder", problems),
    }
    if settings["store"] == "":
        problems.append(("operator.store", "is empty"))
    if settings["folder"] is not None and not _is_segment(settings["folder"]):
        problems.append(("backend.folder", "cannot be part of a key"))
    return settings, problems


def _text(side, text, known, problems):
    """The one setting of a side."""
    try:
        root = parse(text)
    except ValueError as error:
        problems.append((side, f"not JSON: {error}"))
        return None
    if not isinstance(root, dict):
        problems.append((side, "must be an object"))
        return None
    for key in root:
        if key != known:
            problems.append((f"{side}.{key}", f"unknown key, not `{known}`"))
    value = root.get(known)
    is_optional = side == "backend"
    if isinstance(value, str) or (value is None and is_optional):
        return value
    problems.append((f"{side}.{known}", "must be text" if known in root else "is required"))
    return None


def key_of(segments):
    """The key of an artifact, or nothing when a segment cannot be part of one."""
    segments = [segment for segment in segments if segment is not None]
    key = "/".join(segments)
    is_key = all(map(_is_segment, segments)) and len(key.encode()) <= MAX_KEY_BYTES
    return key if is_key else None


def _is_segment(text):
    is_plain = all(c not in "/\\" and unicodedata.category(c) != "Cc" for c in text)
    return text not in ("", ".", "..") and is_plain
