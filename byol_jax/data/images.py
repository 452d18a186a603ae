"""Encoded pictures to arrays, always by Pillow: another decoder would give other pixels."""

import io

import numpy as np
from PIL import Image, ImageOps

PLAIN_MODES = {"L": 1, "RGB": 3}  # the modes that are arrays of channels already


def decode(encoded: bytes, *, channels: int) -> np.ndarray:
    """The picture of `encoded` bytes as uint8 [H, W, channels]; channels is 1 or 3.

    Raises OSError (PIL.UnidentifiedImageError among others) when the bytes are not a picture.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes [H, W, C] until it covers size (h, w), and cuts the center: [h, w, C]."""
    if image.shape[:2] == size:
        return image
    channels = image.shape[-1]
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    fitted = ImageOps.fit(picture, size[::-1], method=Image.Resampling.BICUBIC)
    return np.asarray(fitted).reshape(*size, channels)


def standard(encoded: bytes) -> tuple[bytes, int, tuple[int, int], str]:
    """The same picture in bytes that `decode` reads right: (bytes, channels, (H, W), format).

    JPEG and PNG pictures in grey or RGB stay as they are; palettes, transparency, CMYK, rotation
    by EXIF and other formats become an upright PNG. Raises OSError when it cannot be decoded.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        picture.load()
        kind = picture.format
        upright = ImageOps.exif_transpose(picture)
        rotated = picture.getexif().get(0x0112, 1) != 1
        if kind in ("JPEG", "PNG") and picture.mode in PLAIN_MODES and not rotated:
            size = picture.height, picture.width
            return encoded, PLAIN_MODES[picture.mode], size, kind.lower()
        grey = upright.mode in ("1", "L", "LA")
        return encode(np.asarray(upright.convert("L" if grey else "RGB")))


def encode(pixels: np.ndarray) -> tuple[bytes, int, tuple[int, int], str]:
    """Pixels, uint8 [H, W] or [H, W, 3], as PNG: (bytes, channels, (H, W), "png")."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", optimize=True)
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    return buffer.getvalue(), channels, pixels.shape[:2], "png"
