"""Files are written whole or not at all, and what cannot be written is named."""

import pytest

from byol_jax.system import paths


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "new/x.txt"
    paths.write_whole(file, "old")
    with pytest.raises(KeyError), paths.whole_file(file) as opened:
        opened.write("half")
        raise KeyError
    assert file.read_text() == "old" and list(file.parent.iterdir()) == [file]


def test_a_folder_that_is_a_file_is_an_error_that_names_the_path(tmp_path):
    (tmp_path / "x").write_text("a file")
    with pytest.raises(OSError, match=r"cannot write .*x/y\.txt: .*; check the folder.*disk space"):
        paths.write_whole(tmp_path / "x/y.txt", "text")
    assert (tmp_path / "x").read_text() == "a file"
