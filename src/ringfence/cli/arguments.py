"""Arguments that commands of several groups take."""

from pathlib import Path
from typing import Annotated

import typer

PolicyFile = Annotated[
    Path, typer.Argument(help="A policy file, or the name of an example such as `venue`.", metavar="POLICY")
]
