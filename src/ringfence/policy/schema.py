"""The language as JSON Schema, for editors that complete and underline while a policy is written.

It knows words and shapes; what the phrases say and what names mean, only `parse` and `check` know.
"""

from typing import Any

from ringfence.policy.language import POLICY


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a policy document."""
    document = POLICY.schema()
    instruments = document["properties"]["instruments"]
    path = {"type": "string"}
    instruments["properties"] = {
        "include": {
            "anyOf": [path, {"type": "array", "items": path}],
            "description": "Files, in the same folder or below, with sections tiers, prices and instruments.",
        }
    }
    instruments["additionalProperties"]["required"] = []  # `like` fills in what an instrument does not write
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ringfence policy",
        **document,
    }
