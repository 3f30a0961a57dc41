"""Blocks an artifact with findings at or above a severity, but for the identifiers in `except`.

    settings:
      block: high                 # low, medium, high, critical
      except: [CVE-2026-1234]
"""

import json
from itertools import accumulate

KEYS = ("block", "except")
SEVERITIES = ("unknown", "low", "medium", "high", "critical")

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
    settings = {"block": root.get("block"), "except": root.get("except", [])}
    # The first is `unknown`: what the scanner gives no severity never blocks.
    if settings["block"] not in SEVERITIES[1:]:
        problems.append(("block", f"must be one of {SEVERITIES[1:]}"))
    texts = settings["except"]
    if not isinstance(texts, list) or not all(isinstance(entry, str) for entry in texts):
        problems.append(("except", "must be a list of texts"))
    return settings, problems


def blocks(settings, identifier, severity, suppressed):
    """Whether a finding blocks. What an earlier plugin suppressed does not count."""
    is_bad = SEVERITIES.index(severity) >= SEVERITIES.index(settings["block"])
    return is_bad and suppressed is None and identifier not in settings["except"]


def reason(findings):
    """For the resource's status: five of them by name. `findings` are identifier and severity."""
    named = ", ".join(f"{identifier} ({severity})" for identifier, severity in findings[:5])
    return f"{named} and more" if len(findings) > 5 else named
