"""Encoded pictures to arrays and back, by Pillow: another decoder would give other pixels."""

import io
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from byol_jax import errors
from byol_jax.data import tiff

PLAIN_MODES = {"L": 1, "RGB": 3}  # the modes that are arrays of channels already
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N")


def decode(encoded: bytes, *, channels: int) -> np.ndarray:
    """The picture of `encoded` bytes as uint8 [H, W, channels]; channels is 1 or 3.

    Grey of 16 bits, as one channel, is uint16.
    Raises OSError (PIL.UnidentifiedImageError among others) when the bytes are not a picture.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        if channels == 1 and picture.mode.startswith("I;16"):
            return np.asarray(picture).astype(np.uint16)[..., None]
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 or uint16 [H, W, C] to cover size (h, w), and cuts the center: [h, w, C]."""
    if image.shape[:2] == size:
        return image
    how = {"size": size[::-1], "method": Image.Resampling.BICUBIC}
    return _by_plane(image, lambda plane: ImageOps.fit(plane, **how))


def shrink(image: np.ndarray, max_side: int | None) -> np.ndarray:
    """Resizes [H, W, C] until its shorter side has max_side pixels; never enlarges."""
    shorter = min(image.shape[:2])
    if max_side is None or shorter <= max_side:
        return image
    height, width = (max(round(side * max_side / shorter), 1) for side in image.shape[:2])
    return _by_plane(image, lambda plane: plane.resize((width, height), Image.Resampling.BICUBIC))


def _by_plane(image, change):
    """Changes what Pillow can hold as one picture at once, anything else channel by channel."""
    if image.dtype == np.uint8 and image.shape[-1] in PLAIN_MODES.values():
        changed = np.asarray(
            change(Image.fromarray(image.squeeze(-1) if is_grey(image) else image))
        )
        return changed.reshape(*changed.shape[:2], image.shape[-1])
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(image, -1, 0)]
    changed = np.stack([np.asarray(change(plane)) for plane in planes], axis=-1)
    return np.clip(np.rint(changed), 0, np.iinfo(image.dtype).max).astype(image.dtype)


def is_grey(image: np.ndarray) -> bool:
    """Whether [H, W, C] has one channel."""
    return image.shape[-1] == 1


class Picture(NamedTuple):
    """An upright picture, pixels uint8 or uint16 [H, W, C].

    plain: `decode` makes these pixels of its file.  lossy: the file was compressed with loss.
    """

    pixels: np.ndarray
    plain: bool
    lossy: bool


def read(encoded: bytes) -> Picture:
    """The picture in a file's bytes, its first frame or page, turned upright by its EXIF.

    Transparency becomes white; palettes and CMYK become RGB. Grey of 16 bits stays so, and TIFF of
    16 bits or any number of channels; in other formats Pillow reads 16-bit color as 8 bits.

    Raises whatever Pillow and tifffile do for broken files; ValueError for numbers that are not
    uint8 or uint16 and for an empty file; Image.DecompressionBombError for a huge one.
    """
    if not encoded:
        raise errors.UserError("the file is empty")
    if tiff.is_tiff(encoded) and (found := tiff.read(encoded)) is not None:
        color, alpha = found
        pixels = color if alpha is None else over_white(color, alpha)
        return Picture(pixels, plain=False, lossy=False)
    with Image.open(io.BytesIO(encoded)) as picture:
        if picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        picture.load()
        kind, mode = picture.format, picture.mode
        turned = picture.getexif().get(0x0112, 1) != 1
        plain = kind in ("JPEG", "MPO", "PNG") and mode in PLAIN_MODES
        plain = plain and not turned and not picture.has_transparency_data
        lossy = kind in ("JPEG", "MPO") or kind == "WEBP" and b"VP8L" not in encoded
        pixels = _channels_last(ImageOps.exif_transpose(picture) if turned else picture)
    return Picture(pixels, plain, lossy)


def _channels_last(picture):
    grey = picture.mode in _GREY_MODES
    if picture.has_transparency_data:
        array = np.asarray(picture.convert("LA" if grey else "RGBA"))
        return over_white(array[..., :-1], array[..., -1:])
    if picture.mode == "I":  # a PPM of 16 bits
        array = np.asarray(picture)
        if array.min() < 0 or array.max() > 65535:
            raise errors.UserError("32-bit values have no set range; store 8 or 16 bits")
        return array.astype(np.uint16)[..., None]
    if picture.mode == "F":
        raise errors.UserError("float values have no set range; store 8 or 16 bits")
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)[..., None]
    array = np.asarray(picture.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What [H, W, C] shows on white where alpha [H, W, 1] is not full; of the type of `color`."""
    full = np.float32(np.iinfo(color.dtype).max)
    opacity = alpha.astype(np.float32) / full
    return np.rint(full + (color.astype(np.float32) - full) * opacity).astype(color.dtype)


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 scaled, not clipped, to uint8; uint8 as it is."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def encode(pixels: np.ndarray, *, lossy: bool = False) -> bytes:
    """uint8 [H, W, 1 or 3] as PNG, or as JPEG of quality 95 with all of its color."""
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.squeeze(-1) if is_grey(pixels) else pixels)
    if lossy:
        picture.save(buffer, "jpeg", quality=95, subsampling=0)
    else:
        picture.save(buffer, "png")
    return buffer.getvalue()


def pack(pixels: np.ndarray) -> bytes:
    """Any array's values, compressed; `unpack` wants its type and shape."""
    return zlib.compress(np.ascontiguousarray(pixels).tobytes(), 1)


def unpack(packed: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """What `pack` was given."""
    return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape)
