"""Keeps namespaces for groups: a caller who is in none of `groups` is denied everything in the
namespaces that match one of `namespaces`. It has no opinion about all else.

    settings:
      namespaces: [secret-*]      # `*` is any run of characters, `?` is one
      groups: [platform]
"""

import json
from fnmatch import fnmatchcase
from itertools import accumulate

KEYS = ("namespaces", "groups")

MAX_DEPTH = 100


def parse(text):
    """JSON. The parser calls itself for each level, and a stack that is used up ends the call."""
    if max(accumulate((c in "[{") - (c in "]}") for c in text), default=0) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return json.loads(text)


def read(text):
    """Settings, and every mistake in them as pairs of path and message."""
    try:
        root = parse(text)
    except ValueError as error:
        return {}, [("", f"not JSON: {error}")]
    if not isinstance(root, dict):
        return {}, [("", "must be an object")]
    problems = [(key, f"unknown key, not one of {KEYS}") for key in root if key not in KEYS]
    settings = {key: root.get(key, []) for key in KEYS}
    for key, texts in settings.items():
        if not isinstance(texts, list) or not all(isinstance(entry, str) for entry in texts):
            problems.append((key, "must be a list of texts"))
    return settings, problems


def denial(settings, groups, namespace):
    """Decides for one target: a reason to deny, or nothing."""
    is_member = any(group in settings["groups"] for group in groups)
    is_kept = any(fnmatchcase(namespace, pattern) for pattern in settings["namespaces"])
    if is_kept and not is_member:
        return f"only {', '.join(settings['groups'])} may have it"
    return None
