"""What `prepare` did, for a screen and for a file."""

import collections
import json
from dataclasses import asdict, dataclass, field
from typing import ClassVar

_SHOWN = 20  # bad files on the screen


@dataclass(frozen=True)
class Report:
    """What became of the pictures of a source; paths are relative to it.

    kept: how many are in each split.  found: how many there were.  classes: None without labels.
    unreadable, left_out: why, by path.  duplicates: for a path, the one with the same pixels.
    relabelled: those duplicates whose first has another label.  others: how many other files there
    were, by suffix.  shape, dtype: of the pictures, None where they differ.  unlabelled: pictures in
    no subfolder, where others are in one, so that there are no labels.
    """

    FILE: ClassVar = "prepare_report.json"  # its name in the data set's folder

    kept: dict[str, int]
    classes: list[str] | None
    shape: tuple[int | None, int | None, int]
    dtype: str
    found: int
    unreadable: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    relabelled: list[str] = field(default_factory=list)
    duplicates_kept: bool = False
    others: dict[str, int] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)

    def json(self) -> str:
        """All of it, as text."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def lines(self) -> list[str]:
        """What to tell at the end: the bad files by name, up to some, and the numbers."""
        bad = [f"unreadable: {path}: {why}" for path, why in self.unreadable.items()]
        bad += [f"left out: {path}: {why}" for path, why in self.left_out.items()]
        more = [f"… and {len(bad) - _SHOWN} more in {self.FILE}"] if len(bad) > _SHOWN else []
        height, width, channels = (n or "any" for n in self.shape)
        labels = f"{len(self.classes)} classes" if self.classes else "no labels"
        kept = ", ".join(f"{count:,} {split}" for split, count in self.kept.items())
        return [
            *bad[:_SHOWN],
            *more,
            f"found {self.found:,} pictures" + self._others(),
            f"unreadable {len(self.unreadable):,}, left out {len(self.left_out):,}, "
            + self._duplicates(),
            f"kept {kept}: {height} x {width} x {channels} {self.dtype}, {labels}",
            *self._unlabelled(),
        ]

    def _unlabelled(self):
        if not self.unlabelled:
            return []
        return [
            f"no labels, since {len(self.unlabelled):,} of {self.found:,} pictures are in no "
            f"subfolder, such as {self.unlabelled[0]}: for labels, move them into one and prepare "
            "again."
        ]

    def _duplicates(self):
        done = "kept" if self.duplicates_kept else "dropped"
        some = f"duplicates {len(self.duplicates):,}"
        some += f" ({done}; named in {self.FILE})" if self.duplicates else ""
        if self.relabelled:
            some += f", {len(self.relabelled):,} of them with another label than their first"
        return some

    def _others(self):
        if not self.others:
            return ""
        named = collections.Counter(self.others).most_common(5)
        count = sum(self.others.values())
        return f"; {count:,} other files: " + ", ".join(f"{n:,} {suffix}" for suffix, n in named)
