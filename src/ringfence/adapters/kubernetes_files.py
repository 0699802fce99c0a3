"""Kubernetes manifests on disk: every YAML and JSON file of a folder, with the line of every part.

Manifests are other people's files: sizes, depth and aliases are bounded, and a file that cannot be read is a
finding while the others are read.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ringfence.kernel.errors import BadInput
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.kubernetes.manifest import Path as PartPath
from ringfence.policy.model import Finding

SUFFIXES = frozenset((".yaml", ".yml", ".json"))
FILE_BYTES_MAX = 32 * 1024 * 1024
PARTS_MAX = 2_000_000
"""How many values one file may hold, aliases counted as often as they are used."""
DEPTH_MAX = 64


def load_manifests(folder: Path) -> tuple[tuple[Document, ...], tuple[Finding, ...]]:
    """Read every manifest below a folder, or one file; BadInput where there is none.

    Files are read in order of their paths, and named as `folder` was, so that they can be opened from here.
    """
    if not folder.exists():
        raise BadInput(f"{folder}: there is no such file or folder; name the folder that holds the manifests")
    below = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    files = [file for file in below if file.is_file() and file.suffix.lower() in SUFFIXES]
    if not files:
        raise BadInput(f"{folder}: no YAML or JSON file is there; name the folder that holds the manifests")
    documents: list[Document] = []
    findings: list[Finding] = []
    for file in files:
        documents.extend(_load_file(file, str(file), findings))
    return tuple(documents), tuple(findings)


def _load_file(file: Path, name: str, findings: list[Finding]) -> list[Document]:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ManifestTooLarge(f"the file is over {FILE_BYTES_MAX} bytes")
        text = file.read_text(encoding="utf-8")
        return list(parse_json(text, name) if file.suffix.lower() == ".json" else parse_yaml(text, name))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.append(_unreadable(f"{name}:{line}", str(error.problem or error.context)))
    except json.JSONDecodeError as error:
        findings.append(_unreadable(f"{name}:{error.lineno}", error.msg))
    except (YAMLError, ManifestTooLarge, UnicodeDecodeError, RecursionError, OSError) as error:
        findings.append(_unreadable(name, str(error)))
    return []


def _unreadable(where: str, found: str) -> Finding:
    return Finding(
        level="error", rule="unreadable", where=where, found=found, right="a YAML or JSON manifest"
    )


class ManifestTooLarge(Exception):
    """A manifest holds more than anyone writes."""


def parse_json(text: str, name: str) -> Iterator[Document]:
    """Read one JSON document; json.JSONDecodeError where it is none."""
    yield Document(name, 0, json.loads(text))


def parse_yaml(text: str, name: str) -> Iterator[Document]:
    """Read the YAML documents of a text; YAMLError or ManifestTooLarge where that cannot be."""
    reader = _Reader(YAML(typ="safe", pure=True))
    for index, node in enumerate(reader.yaml.compose_all(text)):
        if node is not None:
            lines: dict[PartPath, int] = {}
            data = reader.value(node, (), lines)
            yield Document(name, index, data, lines)


class _Reader:
    """Turns nodes into plain values and remembers the line each mapping and list item starts on."""

    def __init__(self, yaml: YAML) -> None:
        self.yaml = yaml
        self.parts = 0

    def value(self, node: Node, path: PartPath, lines: dict[PartPath, int]) -> object:
        self.parts += 1
        if self.parts > PARTS_MAX or len(path) > DEPTH_MAX:
            raise ManifestTooLarge(
                f"line {node.start_mark.line + 1}: more than {PARTS_MAX} values, or too deep"
            )
        lines[path] = node.start_mark.line + 1
        if isinstance(node, MappingNode):
            return self._mapping(node, path, lines)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index), lines) for index, item in enumerate(node.value)]
        return self._scalar(cast(ScalarNode, node))

    def _mapping(self, node: MappingNode, path: PartPath, lines: dict[PartPath, int]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            # A template such as `{{ port }}` parses as a mapping where a key should stand.
            key = key_node.value if isinstance(key_node, ScalarNode) else "(no text)"
            if key in found:
                raise MarkedYAMLError(problem=f"{key} stands twice", problem_mark=key_node.start_mark)
            found[key] = self.value(value_node, (*path, key), lines)
        return found

    def _scalar(self, node: ScalarNode) -> object:
        return self.yaml.constructor.construct_object(node)
