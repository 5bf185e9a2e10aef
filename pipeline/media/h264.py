"""What must be known of H.264 to copy it: its units, where decoding can start, and its parameter sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_IDR = 5


def nal_length_bytes(avcc: bytes) -> int:
    """Bytes of the length in front of each NAL unit, from an avcC record (ISO/IEC 14496-15); 0 where it is none."""
    return (avcc[4] & 3) + 1 if len(avcc) > 6 and avcc[0] == 1 else 0


def nal_units(data: bytes, length_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each NAL unit of an H.264 packet whose units have their length in front."""
    at = 0
    while length_bytes and at + length_bytes < len(data):
        size = int.from_bytes(data[at:at + length_bytes], "big")
        at += length_bytes
        if size:
            yield data[at] & 31, data[at:at + size]
        at += size


def starts_decoding(data: bytes, length_bytes: int) -> bool:
    """Whether a packet holds an IDR picture, from which a decoder that has seen nothing before can go on."""
    return any(kind == _IDR for kind, _ in nal_units(data, length_bytes))


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """What a decoder must know of an H.264 stream before its first picture.

    sps, pps: sequence and picture parameter sets, NAL units without lengths
    """

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]

    @property
    def ids(self) -> frozenset[int]:
        """The numbers under which pictures refer to them."""
        # An SPS starts with its header, profile, constraints and level; a PPS with its header.
        return frozenset({*(_exp_golomb(unit[4:]) for unit in self.sps), *(_exp_golomb(unit[1:]) for unit in self.pps)})


def read_avcc(avcc: bytes) -> ParameterSets:
    """The parameter sets of an avcC record. Raises ValueError where it is none."""
    if not nal_length_bytes(avcc):
        raise ValueError("no avcC record")
    at, found = 5, []
    for mask in (31, 255):
        count, units = avcc[at] & mask, []
        at += 1
        for _ in range(count):
            size = int.from_bytes(avcc[at:at + 2], "big")
            units.append(avcc[at + 2:at + 2 + size])
            at += 2 + size
            if at > len(avcc) or size < 2:
                raise ValueError("a torn avcC record")
        found.append(tuple(units))
    return ParameterSets(*found)


def write_avcc(sets: ParameterSets) -> bytes:
    """An avcC record with lengths of four bytes. Its profile and level are the highest of its parts."""
    profile, constraints, level = (max(sps[k] for sps in sets.sps) for k in (1, 2, 3))
    if len({sps[1] for sps in sets.sps}) > 1:
        # Constraints hold for the profile that they were written for.
        constraints = 0
    out = bytes([1, profile, constraints, level, 0xFF, 0xE0 | len(sets.sps)])
    out += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sets.sps)
    out += bytes([len(sets.pps)]) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in sets.pps)
    # From High upwards the record says the chroma format (4:2:0) and the depths (8 bits) once more.
    return out + (bytes([0xFC | 1, 0xF8, 0xF8, 0]) if profile in (100, 110, 122, 144) else b"")




def _exp_golomb(data: bytes) -> int:
    """The unsigned Exp-Golomb number at the start of `data` (H.264, 9.1)."""
    bits = int.from_bytes(data[:8], "big")
    length = len(data[:8]) * 8
    zeros = length - bits.bit_length()
    return ((bits >> (length - 2 * zeros - 1)) - 1) if 2 * zeros + 1 <= length else -1
