"""What a driver calls an accelerator, and what the published tables call it. Exact names: a GH200 is no H200."""

from __future__ import annotations

import re

_NAMES = {  # as NVML or another maker's driver gives it, without maker and marks
    "h100 80gb hbm3": "H100-SXM-80GB",
    "h200": "H200-SXM-141GB",
    "h200 nvl": "H200-NVL-141GB",
    "b200": "B200-SXM-180GB",
    "b300": "B300-SXM-270GB",
    "b300 sxm6 ac": "B300-SXM-270GB",
    "l40s": "L40S",
    "geforce rtx 4090": "GeForce RTX 4090",
    "rtx pro 4500 blackwell": "RTX PRO 4500",
    "rtx pro 4500 blackwell server edition": "RTX PRO 4500",
    "rtx pro 6000 blackwell server edition": "RTX PRO 6000 Server Edition",
    "thor": "Jetson AGX Thor",
    "instinct mi350p": "MI350P",
    "instinct mi350x": "MI350X",
    "instinct mi355x": "MI355X",
    "arc pro b50 graphics": "Arc Pro B50",
    "arc pro b60 graphics": "Arc Pro B60",
    "arc pro b70 graphics": "Arc Pro B70",
}
_MARKS = re.compile(r"\((?:r|tm)\)|[®™]|^(?:nvidia|amd|intel)\b", re.IGNORECASE)


def accelerator_of(name: str) -> str | None:
    """Return the published tables' name for an accelerator, None if none of them has it."""
    plain = " ".join(_MARKS.sub(" ", name.strip()).replace("(R)", " ").split()).lower()
    return _NAMES.get(plain) or _NAMES.get(f"{plain} graphics")
