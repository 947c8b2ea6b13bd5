"""What every bench prints by: a table, and the ratio of two figures."""

from collections.abc import Iterable, Sequence

from rich.table import Table


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines; None is a dash."""
    made = Table(*header, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        made.add_row(*("-" if each is None else str(each) for each in row))
    return made


def ratio(ours: float, floor: float) -> float:
    """Ours by the floor's."""
    return round(ours / floor, 2)
