"""Draw evidence: maps to colours, overlays, colour bars, plates and contact sheets.

Maps stay raw and signed until here.
"""

from seewhy.render.boxes import outlined
from seewhy.render.colours import Style, colourise, limit, overlay
from seewhy.render.layout import arrange, written
from seewhy.render.plates import (
    Share,
    colour_bar,
    contact_sheet,
    equation,
    fitted,
    legend,
    plate,
)
from seewhy.render.sampling import on_original, upsample

__all__ = [
    "Share",
    "Style",
    "arrange",
    "colour_bar",
    "colourise",
    "contact_sheet",
    "equation",
    "fitted",
    "legend",
    "limit",
    "on_original",
    "outlined",
    "overlay",
    "plate",
    "upsample",
    "written",
]
