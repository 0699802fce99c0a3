"""What is short for something longer, written out before the policy is read.

    include   `instruments: {include: file}` joins the sections of that file to the policy's own
    like      an instrument takes the words it does not write from another one
    tiers     the name of a table stands for its rows

All three work on the tree, so that every line still points at where its words are written.
"""

from collections.abc import Callable

from ringfence.kernel.errors import BadInput
from ringfence.policy.grammar import Reader, nearest
from ringfence.policy.source import Listing, Node, Scalar, Table, read_source

Include = Callable[[str], str]
"""Gives the text of an included file by the path as written; raises BadInput where it cannot be read."""

SHARED_SECTIONS = ("tiers", "prices", "instruments")
"""The sections that an included file may have."""

INCLUDES_MAX = 16


def expand(reader: Reader, root: Table, file: str, include: Include | None) -> Table:
    """Write out includes and likenesses. Everything wrong is left with the reader."""
    sections: dict[str, tuple[Scalar, Node]] = {key.text: (key, value) for key, value in root.entries}
    for path_node in _take_includes(reader, sections):
        part = _read_include(reader, path_node, file, include)
        if part is not None:
            _join(reader, sections, part)
    instruments = sections.get("instruments")
    if instruments is not None and isinstance(instruments[1], Table):
        written = _write_out_likeness(reader, instruments[1])
        sections["instruments"] = (instruments[0], written)
    return Table(tuple(sections.values()), root.where)


def name_tiers(reader: Reader, root: Table, known: set[str]) -> Table:
    """Put the rows of a table where an instrument names it; `known` tables were read without a finding."""
    tables, instruments = root.get("tiers"), root.get("instruments")
    if not isinstance(instruments, Table):
        return root
    rows = tables if isinstance(tables, Table) else Table((), root.where)
    entries = []
    for key, node in instruments.entries:
        replaced = _name_tiers_of(reader, key, node, rows, known)
        if replaced is None:
            reader.broken.add(("instruments", key.text))
        else:
            entries.append((key, replaced))
    return _with_section(root, "instruments", Table(tuple(entries), instruments.where))


def _name_tiers_of(reader: Reader, key: Scalar, node: Node, tables: Table, known: set[str]) -> Node | None:
    named = node.get("tiers") if isinstance(node, Table) else None
    if not isinstance(node, Table) or not isinstance(named, Scalar):
        return node
    rows = tables.get(named.text)
    if rows is None:
        names = [name.text for name, _ in tables.entries]
        found = f"instrument `{key.text}` names the table `{named.text}`, which is not there"
        reader.fail("unknown-name", named.where, found, nearest(named.text, names, "tables"))
        return None
    return _with_section(node, "tiers", rows) if named.text in known else None


def _with_section(table: Table, word: str, content: Node) -> Table:
    entries = tuple((key, content if key.text == word else value) for key, value in table.entries)
    return Table(entries, table.where)


# --- include -----------------------------------------------------------------------------------


def _take_includes(reader: Reader, sections: dict[str, tuple[Scalar, Node]]) -> tuple[Scalar, ...]:
    key, node = sections.get("instruments", (None, None))
    if key is None or not isinstance(node, Table):
        return ()
    wanted = node.get("include")
    if wanted is None:
        return ()
    rest = tuple((word, value) for word, value in node.entries if word.text != "include")
    sections["instruments"] = (key, Table(rest, node.where))
    nodes = wanted.items if isinstance(wanted, Listing) else (wanted,)
    if len(nodes) > INCLUDES_MAX:
        found = f"{len(nodes)} files are included"
        reader.fail("include", wanted.where, found, f"include at most {INCLUDES_MAX}")
        return ()
    return tuple(node for node in nodes if isinstance(node, Scalar) and _is_inside(reader, node))


def _is_inside(reader: Reader, node: Scalar) -> bool:
    parts = node.text.split("/")
    if node.kind != "text" or not node.text.isprintable() or any(part in ("", ".", "..") for part in parts):
        found = f"`{node.text}` does not stay in the folder of the policy"
        reader.fail(
            "include", node.where, found, "write a path below it, such as `instruments/perpetuals.yaml`"
        )
        return False
    return True


def _read_include(reader: Reader, node: Scalar, file: str, include: Include | None) -> Table | None:
    if include is None:
        reader.fail(
            "include", node.where, f"`{node.text}` cannot be included here", "write its content instead"
        )
        return None
    try:
        text = include(node.text)
    except BadInput as error:
        reader.fail("include", node.where, str(error), "include a file that can be read")
        return None
    folder, slash, _ = file.rpartition("/")
    source = read_source(text, f"{folder}{slash}{node.text}")
    reader.findings.extend(source.findings)
    return source.root


def _join(reader: Reader, sections: dict[str, tuple[Scalar, Node]], part: Table) -> None:
    for key, content in part.entries:
        if key.text not in SHARED_SECTIONS or not isinstance(content, Table):
            found = f"an included file has a section `{key.text}`"
            right = f"include only mappings named {', '.join(SHARED_SECTIONS)}"
            reader.fail("include", key.where, found, right)
            continue
        own_key, own = sections.get(key.text, (key, Table((), content.where)))
        if isinstance(own, Table):
            sections[key.text] = (own_key, _joined(reader, own, content))


def _joined(reader: Reader, own: Table, added: Table) -> Table:
    lines = {key.text: key.where for key, _ in own.entries}
    fresh = []
    for key, value in added.entries:
        if key.text == "include":
            reader.fail(
                "include", key.where, "an included file includes another", "include it from the policy"
            )
        elif key.text in lines:
            found = f"`{key.text}` is written a second time (first in {lines[key.text]})"
            reader.fail("duplicate-word", key.where, found, "write each name once")
        else:
            fresh.append((key, value))
    return Table((*own.entries, *fresh), own.where)


# --- like --------------------------------------------------------------------------------------


def _write_out_likeness(reader: Reader, instruments: Table) -> Table:
    entries = []
    for key, node in instruments.entries:
        written = _written_out(reader, key, node, instruments)
        if written is None:
            reader.broken.add(("instruments", key.text))
        else:
            entries.append((key, written))
    return Table(tuple(entries), instruments.where)


def _written_out(reader: Reader, key: Scalar, node: Node, instruments: Table) -> Node | None:
    named = node.get("like") if isinstance(node, Table) else None
    if not isinstance(node, Table) or not isinstance(named, Scalar):
        return node
    model = instruments.get(named.text)
    if not isinstance(model, Table) or model.get("like") is not None:
        found = f"instrument `{key.text}` is like `{named.text}`, which is not written out in full"
        names = [
            name.text for name, one in instruments.entries if isinstance(one, Table) and not one.get("like")
        ]
        reader.fail("unknown-name", named.where, found, nearest(named.text, names, "instruments in full"))
        return None
    own = {word.text for word, _ in node.entries}
    taken = tuple((word, value) for word, value in model.entries if word.text not in own)
    return Table((*node.entries, *taken), node.where)
