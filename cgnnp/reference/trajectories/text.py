"""What readers of text files share. Imports the standard library only."""

from pathlib import Path


def check_last_line(path: Path) -> None:
    """Refuse a text file whose last line is cut: a number that lost its last digits looks like a number.

    Raises:
        ValueError: it is empty, or does not end with the end of a line.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise ValueError(f"{path}: the file is empty")
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise ValueError(
                f"{path}: the last line does not end: the file is truncated; cut the last frame off, or add the end of the "
                "line if it is complete"
            )
