"""Brings high-dynamic-range pictures down to what an ordinary screen shows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# BT.2100: reference white of graphics and faces lies at 203 cd/m² (BT.2408); PQ's ceiling is 10,000.
_WHITE_NITS = 203.0
_PQ_PEAK_NITS = 10000.0
_HLG_PEAK_NITS = 1000.0
# From BT.2020 to BT.709 primaries (BT.2087, inverted).
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def to_sdr(image: npt.NDArray[np.uint16], transfer: str) -> npt.NDArray[np.uint8]:
    """Tone-map a picture for an SDR screen.

    image: (h, w, 3) RGB in BT.2020 primaries, 16 bit a component
    transfer: "pq" (SMPTE ST 2084) or "hlg" (ARIB STD-B67)

    Returns (h, w, 3) RGB, 8 bit. The curve is Reinhard's extended operator with the transfer's peak as white point
    (Reinhard et al. 2002), on each channel by itself: highlights lose colour as they do on film, and don't turn neon.
    """
    signal = image.astype(np.float64) / 65535.0
    nits, peak = (_pq_nits(signal), _PQ_PEAK_NITS) if transfer == "pq" else (_hlg_nits(signal), _HLG_PEAK_NITS)
    linear = np.clip(nits / _WHITE_NITS @ _TO_BT709.T, 0, None)
    white = peak / _WHITE_NITS
    linear = linear * (1 + linear / white**2) / (1 + linear)
    # BT.1886: what a screen does to the signal, undone.
    signal = np.power(np.clip(linear, 0, 1), 1 / 2.4)
    eight_bit: npt.NDArray[np.uint8] = (signal * 255 + 0.5).astype(np.uint8)
    return eight_bit


def _pq_nits(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """SMPTE ST 2084's electro-optical transfer function: signal 0 to 1, in cd/m²."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.power(signal, 1 / m2)
    nits: npt.NDArray[np.float64] = _PQ_PEAK_NITS * np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    return nits


def _hlg_nits(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ARIB STD-B67's inverse transfer and a nominal 1,000 cd/m² display (system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.6780, 0.0593])
    nits: npt.NDArray[np.float64] = _HLG_PEAK_NITS * scene * np.power(np.maximum(luma, 1e-9), 0.2)[..., None]
    return nits
