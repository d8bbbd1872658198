"""QR codes as pictures."""

from io import BytesIO
from typing import Any


def qr_svg(text: str, **options: Any) -> bytes:
    """An SVG that says ``text``; ``options`` are those of segno's writer."""
    from segno import make

    picture = BytesIO()
    make(text, error="m", micro=False).save(picture, kind="svg", **options)
    return picture.getvalue()
