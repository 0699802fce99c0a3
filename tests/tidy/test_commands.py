"""Every command has help, a line in the reference and a test; the reference is current."""

import re

import typer


def test_generated_pages_are_current(generate):
    assert generate.stale_pages() == [], "run `make docs`"


def test_every_command_and_option_says_what_it_is(generate):
    silent = []
    for name, command in generate.commands():
        if not (command.help or "").strip():
            silent.append(f"{name} has no help")
        silent += [
            f"{name} {parameter.name} has no help"
            for parameter in command.params
            if not (getattr(parameter, "help", "") or "").strip()
        ]
    assert not silent, silent


def test_every_command_can_answer_in_json(generate):
    without = [
        name
        for name, command in generate.commands()
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert not without, f"give it `as_json: Json = False` from cli.output: {without}"


def test_every_group_says_what_it_is_for(generate):
    app = typer.main.get_command(generate.app)
    silent = [name for name, command in app.commands.items() if not (command.help or "").strip()]
    assert not silent, silent


def test_every_command_is_run_by_a_test_or_a_page(generate, test_text, docs_text, root):
    # Tests name a command as words in a list or as one text, pages as `$ ringfence ...` in a console block.
    shown = docs_text + (root / "README.md").read_text()
    missing = []
    for name, _ in generate.commands():
        words = name.split()[1:]
        as_list = r",\s*".join(rf'"{word}"' for word in words)
        in_test = re.search(as_list, test_text) or re.search(rf'"{" ".join(words)}[" ]', test_text)
        if not in_test and not re.search(rf"^\$ {name}\b", shown, re.MULTILINE):
            missing.append(name)
    assert not missing, f"run it in tests/ or in a console block of docs/: {missing}"
