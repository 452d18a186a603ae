"""Packaging of byol_jax: metadata, dependency ranges, extras, and what the wheel carries."""

import re
from pathlib import Path

import setuptools

_ROOT = Path(__file__).parent
_FRONT_DOOR = (_ROOT / "byol_jax" / "__init__.py").read_text(encoding="utf-8")
_CONFIG_FOLDERS = ["configs"] + [f"configs/{f.name}" for f in (_ROOT / "configs").iterdir()
                                 if f.is_dir() and not f.name.startswith("_")]  # fmt: skip

setuptools.setup(
    name="byol_jax",
    version=re.search(r'__version__ = "(.+)"', _FRONT_DOOR)[1],
    description="Self-supervised image features in pure JAX: InstDisc, SimCLR, MoCo, BYOL",
    long_description=(_ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=setuptools.find_packages(include=["byol_jax", "byol_jax.*"])
    + ["byol_jax." + folder.replace("/", ".") for folder in _CONFIG_FOLDERS],
    package_dir={"byol_jax." + folder.replace("/", "."): folder for folder in _CONFIG_FOLDERS},
    package_data={"byol_jax": ["data/embedded/**/*", "py.typed", "report/static/*"]},
    install_requires=[
        "absl-py>=2.1",
        "array-record>=0.8.1",
        "chex>=0.1.90",
        "cykooz-resizer>=4.0.1; platform_machine != 'aarch64'",  # no wheel there; see data/crops.py
        "etils[epath]>=1.12.2",
        "flax>=0.12.7",
        "grain>=0.2.15",
        "importlib_resources>=6.0",
        "jax>=0.10.2",
        "ml_collections>=1.0.0",
        "ml_dtypes!=0.7.0",  # used by jax; this version takes more than a second to import
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.11.25",
        "packaging>=24.0",
        "pillow>=11.0",
        "pyarrow>=18.0",
        "rich>=13.0",
        "safetensors>=0.4.5",
        "scipy>=1.14",
        "simplejpeg>=1.8.2",
        "tensorflow-datasets>=4.9.10",
        "tifffile>=2024.8.30",
    ],
    extras_require={
        "cuda": ["jax[cuda13]"],
        "tpu": ["jax[tpu]"],
        "plan": ["jax[tpu]"],  # libtpu, to compile for a TPU; none is needed
        "plan_cuda": ["jax-cuda13-plugin>=0.10.2"],  # to compile for a GPU; none is needed
        "tfds": ["tensorflow>=2.18"],
        "tensorboard": ["tensorboardX>=2.6.2.2"],
        "plot": ["matplotlib>=3.10.8"],
        "umap": ["umap-learn>=0.5.7"],
        "browser": [
            "selenium>=4.20"
        ],  # for the tests of the report; Chromium is installed separately
        "docs": ["furo>=2025.9", "myst-parser>=4.0", "sphinx>=8.1"],
        "parity": [
            "dm-haiku>=0.0.17",
            "equinox>=0.13.8",
            "keras>=3.15.1",
            "lightly>=1.6",
            "timm>=1.0",
            "torch>=2.13",
            "torchvision>=0.28",
        ],
        "test": [
            "basedpyright>=1.40.2,<1.41",
            "matplotlib>=3.10.8",
            "pytest>=8.0",
            "pytest-xdist>=3.6.1",
            "ruff>=0.17.6,<0.18",
            "scikit-learn>=1.6",
            "tensorboardX>=2.6.2.2",
        ],
    },
    entry_points={"console_scripts": ["byol_jax=byol_jax.main:run"]},
)
