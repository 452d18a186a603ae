"""Decodes, resizes and encodes images with Pillow; other decoders give different pixel values."""

import io
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from byol_jax import errors
from byol_jax.data import files, tiff

PLAIN_MODES = {"L": 1, "RGB": 3}  # Pillow modes without palette or alpha, and their channels
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N")


def decode(encoded: bytes, *, channels: int) -> np.ndarray:
    """Decodes the contents of an image file.

    Args:
        encoded: Contents of the file.
        channels: 1 or 3.

    Returns:
        The image, uint8 [H, W, channels]; uint16 for one channel of a 16-bit gray image.

    Raises:
        OSError: The bytes are not an image.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        if channels == 1 and picture.mode.startswith("I;16"):
            return np.asarray(picture).astype(np.uint16)[..., None]
        mode = "L" if channels == 1 else "RGB"
        pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return pixels.reshape(*pixels.shape[:2], channels)


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image to cover a size, and crops the center.

    Args:
        image: uint8 or uint16 [H, W, C].
        size: Height and width of the result.

    Returns:
        An image [h, w, C] of the same dtype.
    """
    if image.shape[:2] == size:
        return image

    height, width = size

    def fit_plane(plane):
        return ImageOps.fit(plane, (width, height), method=Image.Resampling.BICUBIC)

    return _by_plane(image, fit_plane)


def shrink(image: np.ndarray, max_side: int | None) -> np.ndarray:
    """Shrinks an image whose shorter side exceeds a limit.

    Args:
        image: uint8 or uint16 [H, W, C].
        max_side: Largest length of the shorter side in pixels; None keeps the size.

    Returns:
        The image, with the same ratio of the sides.
    """
    shorter = min(image.shape[:2])
    if max_side is None or shorter <= max_side:
        return image
    height, width = (max(round(side * max_side / shorter), 1) for side in image.shape[:2])
    return _by_plane(image, lambda plane: plane.resize((width, height), Image.Resampling.BICUBIC))


def _by_plane(image, change):
    """Applies a Pillow image function to an array, one channel at a time if Pillow needs it."""
    if image.dtype == np.uint8 and image.shape[-1] in PLAIN_MODES.values():
        changed = np.asarray(
            change(Image.fromarray(image.squeeze(-1) if is_grey(image) else image))
        )
        return changed.reshape(*changed.shape[:2], image.shape[-1])
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(image, -1, 0)]
    changed = np.stack([np.asarray(change(plane)) for plane in planes], axis=-1)
    return np.clip(np.rint(changed), 0, np.iinfo(image.dtype).max).astype(image.dtype)


def is_grey(image: np.ndarray) -> bool:
    """Checks whether an image has one channel.

    Args:
        image: Image [H, W, C].

    Returns:
        True if C is 1.
    """
    return image.shape[-1] == 1


class Picture(NamedTuple):
    """An image that was read from a file, turned upright.

    Attributes:
        pixels: uint8 or uint16 [H, W, C].
        plain: True if `decode` returns the same pixels for the file.
        lossy: True if the file uses lossy compression.
    """

    pixels: np.ndarray
    plain: bool
    lossy: bool


def read(encoded: bytes) -> Picture:
    """Reads the first frame or page of an image file, and turns it upright by its EXIF data.

    Transparent pixels become white, and palettes and CMYK become RGB. Gray images and TIFF files
    keep 16 bits, and TIFF files keep any number of channels. Pillow reads 16-bit color of other
    formats as 8 bits.

    Args:
        encoded: Contents of the file.

    Returns:
        The image.

    Raises:
        UserError: The file is empty, or its numbers are not uint8 or uint16.
        DecompressionBombError: The image has more pixels than Pillow considers safe.
        Exception: Pillow or tifffile cannot read the file.
    """
    if not encoded:
        raise errors.UserError("the file is empty")
    if tiff.is_tiff(encoded) and (color_and_alpha := tiff.read(encoded)) is not None:
        color, alpha = color_and_alpha
        pixels = color if alpha is None else over_white(color, alpha)
        return Picture(pixels, plain=False, lossy=False)
    with Image.open(io.BytesIO(encoded)) as picture:
        if picture.width * picture.height > files.max_pixels():
            raise Image.DecompressionBombError
        picture.load()
        file_format = picture.format
        is_rotated = picture.getexif().get(0x0112, 1) != 1  # the tag Orientation
        plain = file_format in ("JPEG", "MPO", "PNG") and picture.mode in PLAIN_MODES
        plain = plain and not is_rotated and not picture.has_transparency_data
        lossy = file_format in ("JPEG", "MPO") or file_format == "WEBP" and b"VP8L" not in encoded
        pixels = _channels_last(ImageOps.exif_transpose(picture) if is_rotated else picture)
    return Picture(pixels, plain, lossy)


def _channels_last(picture):
    grey = picture.mode in _GREY_MODES
    if picture.has_transparency_data:
        array = np.asarray(picture.convert("LA" if grey else "RGBA"))
        return over_white(array[..., :-1], array[..., -1:])
    if picture.mode == "I":  # a PPM of 16 bits
        array = np.asarray(picture)
        if array.min() < 0 or array.max() > 65535:
            raise errors.UserError(
                "32-bit values have no defined range; store integers of 8 or 16 bits"
            )
        return array.astype(np.uint16)[..., None]
    if picture.mode == "F":
        raise errors.UserError("float values have no defined range; store integers of 8 or 16 bits")
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)[..., None]
    array = np.asarray(picture.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composites a transparent image onto a white background.

    Args:
        color: Image [H, W, C], uint8 or uint16.
        alpha: Opacity [H, W, 1] of the same dtype.

    Returns:
        The opaque image [H, W, C] of the same dtype.
    """
    full = np.float32(np.iinfo(color.dtype).max)
    opacity = alpha.astype(np.float32) / full
    return np.rint(full + (color.astype(np.float32) - full) * opacity).astype(color.dtype)


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Scales 16-bit pixels to 8 bits.

    Args:
        pixels: uint8 or uint16 array.

    Returns:
        uint8 array; uint8 pixels are unchanged.
    """
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def encode(pixels: np.ndarray, *, lossy: bool = False) -> bytes:
    """Encodes an image as PNG or JPEG.

    Args:
        pixels: uint8 [H, W, 1 or 3].
        lossy: True encodes JPEG of quality 95 without color subsampling; False encodes PNG.

    Returns:
        Contents of an image file.
    """
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.squeeze(-1) if is_grey(pixels) else pixels)
    if lossy:
        picture.save(buffer, "jpeg", quality=95, subsampling=0)
    else:
        picture.save(buffer, "png")
    return buffer.getvalue()


def pack(pixels: np.ndarray) -> bytes:
    """Compresses the values of an array.

    Args:
        pixels: Array of any dtype and shape, which `unpack` needs.

    Returns:
        The compressed values.
    """
    return zlib.compress(np.ascontiguousarray(pixels).tobytes(), 1)


def unpack(packed: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decompresses an array that `pack` compressed.

    Args:
        packed: The compressed values.
        dtype: The array's dtype.
        shape: The array's shape.

    Returns:
        The array.
    """
    return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape)
