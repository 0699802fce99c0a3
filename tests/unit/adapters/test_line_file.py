"""Lines that are only ever added, and a log that no flood fills."""

from ringfence.adapters.line_file import LineFile
from ringfence.adapters.refusal_log import SENTENCES_MAX, RefusalLog


def test_lines_are_there_again_and_a_half_one_is_dropped(tmp_path):
    path = tmp_path / "lines"
    lines = LineFile(path)
    for line in (b"one", b"two"):
        lines.append(line)
    lines.close()
    with path.open("ab") as torn:
        torn.write(b"thr")
    again = LineFile(path)
    assert again.read() == (b"one", b"two")
    again.append(b"three")
    assert again.read() == (b"one", b"two", b"three")
    again.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_sentence_is_written_once_and_at_each_tenfold():
    written = []
    log = RefusalLog(written.append)
    for _ in range(1_000):
        log("no")
    log("never")
    assert written == ["no", "no (10 times)", "no (100 times)", "no (1000 times)", "never"]
    assert log.total == 1_001


def test_a_flood_of_different_sentences_is_bounded():
    written = []
    log = RefusalLog(written.append)
    for number in range(10 * SENTENCES_MAX):
        log(f"peer {number}")
    assert len(written) <= SENTENCES_MAX + 5
    assert log.total == 10 * SENTENCES_MAX
