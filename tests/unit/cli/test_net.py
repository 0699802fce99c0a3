"""`ringfence net connectivity`, `render` and `drift`: nothing that is asked is ignored."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine

WEB = "kind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n"
DB = "kind: Pod\nmetadata: {name: db, namespace: shop, labels: {app: db}}\n"


def only_web(port: int) -> str:
    return (
        "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: db, namespace: shop}\n"
        "spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: "
        f"[{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}], ports: [{{port: {port}}}]}}]}}\n"
    )


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


Folder = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def write(name: str, *texts: str) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text("---\n".join(texts))
        return str(tmp_path / name)

    return write


LINK = ["shop/web[Pod]", "shop/db[Pod]", "TCP 5432"]
CHANGE = ["changed", *LINK[:2], "TCP 5432", "TCP 5433", ""]


def test_links_and_changes_are_written_in_every_form(command_line: CommandLine, folder: Folder) -> None:
    old, new = folder("old", WEB, DB, only_web(5432)), folder("new", WEB, DB, only_web(5433))
    for words, row, form in (
        ((old,), LINK, "{0} => {1} : {2}"),
        ((old, "--diff", new), CHANGE, "changed: {1} => {2} : {3} -> {4}"),
    ):
        asked = ("net", "connectivity", *words)
        assert form.format(*row) in command_line(*asked).out.splitlines()
        table = list(csv.reader(io.StringIO(command_line(*asked, "--format", "csv").out)))
        assert row in table
        assert f"| {' | '.join(row)} |" in command_line(*asked, "--format", "markdown").out
        assert f'"{LINK[0]}" -> "{LINK[1]}" [label=' in command_line(*asked, "--format", "dot").out
        assert row in [list(one.values()) for one in command_line(*asked, "--json").json]
        assert table[0] == list(command_line(*asked, "--json").json[0])


def test_an_empty_answer_says_why(command_line: CommandLine, folder: Folder) -> None:
    nobody = command_line("net", "connectivity", folder("nobody", only_web(1)))
    assert (nobody.code, nobody.out) == (0, "")
    assert "declares no workload, so nobody is there to talk" in nobody.err
    same = folder("same", WEB, DB)
    assert (
        "both let the same connections through"
        in command_line("net", "connectivity", same, "--diff", same).err
    )
    assert command_line("net", "connectivity", same, "--diff", same, "--format", "csv").out == (
        "kind,src,dst,before,after,note\n"
    )
    shut = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
    wall = f"kind: NetworkPolicy\nmetadata: {{name: n, namespace: shop}}\nspec: {shut}\n"
    assert "nobody may talk to anybody" in command_line("net", "connectivity", folder("shut", DB, wall)).err


def test_a_place_can_be_opened_from_here(command_line: CommandLine, folder: Folder) -> None:
    one = folder("one", WEB, DB, only_web(99_999))
    other = folder("other", WEB, DB, only_web(5432))
    said = command_line("net", "connectivity", one, "--diff", other)
    assert said.code == 1
    assert f"error: {one}/all.yaml:10: " in said.err
    why = command_line("net", "connectivity", other, "--explain", "web", "db", "5432")
    assert f"({other}/all.yaml:10)" in why.out.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--diff", "x", "--explain", "web", "db", "1"), "name one of the two"),
        (("--explain", "web", "db", "1", "--format", "csv"), "an explanation is text"),
    ],
)
def test_what_cannot_be_asked_together_is_refused(
    command_line: CommandLine, folder: Folder, words: tuple[str, ...], said: str
) -> None:
    refused = command_line("net", "connectivity", folder("it", WEB, DB), *words)
    assert refused.code == 2
    assert said in refused.err


def test_ipv6_addresses_are_explained_without_being_listed(command_line: CommandLine, folder: Folder) -> None:
    it = folder("it", WEB, DB, only_web(5432))
    assert "::" not in command_line("net", "connectivity", it).out
    assert "is closed" in command_line("net", "connectivity", it, "--explain", "2001:db8::1", "db", "1").out


@pytest.mark.parametrize("form", ["kubernetes", "cluster-policies", "compose"])
def test_a_place_of_a_form_that_holds_the_whole_platform_is_refused(
    command_line: CommandLine, folder: Folder, form: str
) -> None:
    written = command_line("net", "render", "wallet", "--to", form)
    read = command_line("net", "drift", folder("it", WEB), "--of", form, "--place", "wallet")
    for said in (written, read):
        assert said.code == 2
        assert f"{form} holds the whole platform, so no place of it can be named" in said.err.replace(
            "\n", " "
        )
