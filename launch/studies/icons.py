"""Makes a data set of color icons of 32 x 32 pixels from Debian's icon packages.

    python launch/studies/icons.py [--out=data/icons]

Needs apt-get and dpkg-deb, which Debian and Ubuntu have, and downloads 220 MB from their mirror; it
installs nothing. The label of an icon is its context (apps, actions, places, …). All icons of the
same name are in the same split, whatever their theme, because they look alike.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile
import zlib

from byol_jax import data

THEMES = (
    "elementary-xfce",
    "faenza",
    "gnome",
    "mate",
    "moka",
    "obsidian",
    "oxygen",
    "paper",
    "tango",
)
CONTEXTS = {
    "actions": "actions",
    "apps": "apps",
    "categories": "categories",
    "devices": "devices",
    "emblems": "emblems",
    "mimes": "mimetypes",
    "mimetypes": "mimetypes",
    "places": "places",
    "status": "status",
    "web": "apps",
}
SIZES = {"32x32", "32"}
TEST_EVERY = 4  # One of this many names is in the test split.


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make a data set of color icons from Debian's icon packages."
    )
    parser.add_argument(
        "--out",
        default="data/icons",
        help="folder in which to write the data set (default: %(default)s)",
    )
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icons-") as scratch:
        root = pathlib.Path(scratch) / "root"
        sorted_icons = pathlib.Path(scratch) / "icons"
        packages = [f"{theme}-icon-theme" for theme in THEMES]
        subprocess.run(["apt-get", "download", "-q", *packages], cwd=scratch, check=True)
        for package in pathlib.Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        count = sort(root / "usr" / "share" / "icons", sorted_icons)
        print(f"{count:,} icons")
        report = data.prepare(sorted_icons, flags.out)
    print("\n".join(report.lines()))


def sort(themes: pathlib.Path, out: pathlib.Path) -> int:
    """Copies icons to out/SPLIT/CONTEXT/THEME_NAME.png; returns how many.

    Symbolic links are skipped because they repeat other icons.
    """
    count = 0
    for icon in sorted(themes.rglob("*.png")):
        theme, *folders = icon.relative_to(themes).parts[:-1]
        context = next((CONTEXTS[folder] for folder in folders if folder in CONTEXTS), None)
        if context is None or icon.is_symlink() or not SIZES & set(folders):
            continue
        split = "train" if zlib.crc32(icon.stem.encode()) % TEST_EVERY else "test"
        folder = out / split / context
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(icon, folder / f"{theme}_{icon.name}")
        count += 1
    return count


if __name__ == "__main__":
    main()
