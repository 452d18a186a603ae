"""Makes a colour data set of Debian's icon packages: 32 pixels, labelled by what an icon is for.

    python launch/studies/icons.py [--out=data/icons]

Wants apt-get and dpkg-deb, as Debian and Ubuntu have them, and 220 MB from their mirror; nothing is
installed. The label is the icon's context (apps, actions, places, …). All themes' icons of one name
are in one split, so that no theme's drawing is tested that another theme's taught.
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
TEST_OF = 4  # one name of so many is tested


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="data/icons")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icons-") as scratch:
        root, sorted_icons = pathlib.Path(scratch) / "root", pathlib.Path(scratch) / "icons"
        packages = [f"{theme}-icon-theme" for theme in THEMES]
        subprocess.run(["apt-get", "download", "-q", *packages], cwd=scratch, check=True)
        for package in pathlib.Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        count = sort(root / "usr" / "share" / "icons", sorted_icons)
        print(f"{count:,} icons")
        done = data.prepare(sorted_icons, given.out)
    print("\n".join(done.lines()))


def sort(themes: pathlib.Path, out: pathlib.Path) -> int:
    """Copies icons to out/SPLIT/CONTEXT/THEME_NAME.png; how many. Links are other names of icons."""
    count = 0
    for icon in sorted(themes.rglob("*.png")):
        theme, *folders = icon.relative_to(themes).parts[:-1]
        context = next((CONTEXTS[folder] for folder in folders if folder in CONTEXTS), None)
        if context is None or icon.is_symlink() or not SIZES & set(folders):
            continue
        split = "train" if zlib.crc32(icon.stem.encode()) % TEST_OF else "test"
        place = out / split / context
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(icon, place / f"{theme}_{icon.name}")
        count += 1
    return count


if __name__ == "__main__":
    main()
