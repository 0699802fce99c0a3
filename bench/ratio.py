"""How a benchmark says what it found: a ratio against a named peer or limit, both measured in one run.

A bare number of seconds means nothing on another machine; a ratio nearly does. Targets are printed beside
what was found and never asserted: a test that depends on the load of a machine fails for no reason.
"""


def show_ratio(work: str, ratio: float, against: str, target: float | None = None) -> None:
    """Print one ratio; `make bench` collects these lines into its closing table.

    work: what was done, with its size; ratio: ours over theirs, above 1 is better; against: the peer or
    limit; target: the ratio that is wanted, where one was set.
    """
    wanted = "" if target is None else f" (wanted: at least {target:g})"
    print(f"ratio: {work}: {ratio:.3g} x {against}{wanted}", flush=True)
