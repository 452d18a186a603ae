"""The report of `prepare`, as text for the terminal and as JSON."""

import collections
import json
from dataclasses import asdict, dataclass, field
from typing import ClassVar

_SHOWN = 20  # most excluded files that the terminal lists


@dataclass(frozen=True)
class Report:
    """The result of a conversion: the contents of the data set, and the files that were left out.

    All paths are relative to the source folder.

    Attributes:
        FILE: Name of the JSON file in the folder of the data set.
        kept: Number of images in each split.
        classes: Names of the classes; None without labels.
        shape: Height, width and channels of the images; a height and width of None mean that the
            sizes differ.
        dtype: Name of the type of the pixels.
        found: Number of image files in the source folder.
        unreadable: Reason by path, for image files that are unreadable.
        left_out: Reason by path, for other image files and folders that are not used.
        duplicates: For each image whose pixels occur before, the path of the first such image.
        relabelled: Paths of the duplicates whose label differs from that of the first image.
        duplicates_kept: Whether the data set contains the duplicates.
        others: Number of other files in the source folder, by suffix.
        unlabelled: Paths of images in no subfolder, if other images are in subfolders. If there are
            such paths, the data set has no labels.
    """

    FILE: ClassVar[str] = "prepare_report.json"

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
        """Returns all fields of the report as JSON text."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def lines(self) -> list[str]:
        """Returns the report as lines of text: up to 20 excluded files, then image counts."""
        return [
            *self._excluded(),
            self._found(),
            f"unreadable: {len(self.unreadable):,}, left out: {len(self.left_out):,}, "
            + self._duplicates(),
            self._kept(),
            *self._unlabelled(),
        ]

    def _excluded(self) -> list[str]:
        lines = [f"unreadable: {path}: {reason}" for path, reason in self.unreadable.items()]
        lines += [f"left out: {path}: {reason}" for path, reason in self.left_out.items()]
        if len(lines) <= _SHOWN:
            return lines
        return [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more, listed in {self.FILE}"]

    def _found(self) -> str:
        line = f"found {self.found:,} images"
        if self.others:
            frequent = collections.Counter(self.others).most_common(5)
            counts = ", ".join(f"{count:,} {suffix}" for suffix, count in frequent)
            line += f"; other files: {sum(self.others.values()):,} ({counts})"
        return line

    def _duplicates(self) -> str:
        text = f"duplicates: {len(self.duplicates):,}"
        if self.duplicates:
            action = "kept" if self.duplicates_kept else "dropped"
            text += f" ({action}; listed in {self.FILE})"
        if self.relabelled:
            text += (
                f"; {len(self.relabelled):,} of the duplicates differ in their label from the "
                "first image with the same pixels"
            )
        return text

    def _kept(self) -> str:
        splits = " and ".join(f"{count:,} {split}" for split, count in self.kept.items())
        height, width, channels = (size or "any" for size in self.shape)
        labels = f"{len(self.classes)} classes" if self.classes else "no labels"
        return f"kept {splits} images: {height} x {width} x {channels} {self.dtype}, {labels}"

    def _unlabelled(self) -> list[str]:
        if not self.unlabelled:
            return []
        count = len(self.unlabelled)
        example = self.unlabelled[0]
        return [
            f"no labels, because {count:,} of {self.found:,} images are in no subfolder, such as "
            f"{example}; for labels, move them into subfolders and run prepare again."
        ]
