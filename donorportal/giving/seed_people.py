"""People who do not exist: a colour, a mineral and a river make a name."""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_COLOURS = (
    "Amber", "Auburn", "Azure", "Carmine", "Celadon", "Cerise", "Cobalt", "Coral", "Crimson",
    "Ebony", "Ecru", "Fawn", "Ginger", "Hazel", "Indigo", "Ivory", "Lilac", "Magenta", "Maroon",
    "Mauve", "Ochre", "Olive", "Russet", "Saffron", "Scarlet", "Sepia", "Sienna", "Teal", "Umber",
    "Vermilion", "Violet",
)  # fmt: skip
_MINERALS = (
    "Agate", "Apatite", "Azurite", "Barite", "Beryl", "Biotite", "Calcite", "Celestine",
    "Chalcedony", "Citrine", "Dolomite", "Epidote", "Feldspar", "Fluorite", "Galena", "Gypsum",
    "Halite", "Jasper", "Kyanite", "Lazurite", "Malachite", "Mica", "Onyx", "Opal", "Peridot",
    "Quartz", "Rutile", "Selenite", "Talc", "Topaz", "Zircon",
)  # fmt: skip
_RIVERS = (
    "Aare", "Amur", "Besòs", "Congo", "Danube", "Dnieper", "Douro", "Ebro", "Elbe", "Ganges",
    "Garonne", "Júcar", "Kolyma", "Lena", "Limpopo", "Loire", "Lot", "Łyna", "Main", "Mekong",
    "Meuse", "Narmada", "Niger", "Oder", "Ohio", "Orinoco", "Paraná", "Rhône", "Sava", "Scheldt",
    "Shannon", "Tagus", "Tâmega", "Tiber", "Ticino", "Vistula", "Volga", "Yukon", "Zambezi",
)  # fmt: skip
_DOMAINS = ("example.org", "example.com", "example.net")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist, at an address that cannot exist."""

    name: str
    email: str


@lru_cache(maxsize=65_536)
def person(number: int) -> Person:
    """Return the person with this number, counted from 0; no two have the same address."""
    rest, colour = divmod(number, len(_COLOURS))
    rest, mineral = divmod(rest, len(_MINERALS))
    again, river = divmod(rest, len(_RIVERS))
    # Neighbours differ in every part, so that a short list does not look like one.
    river = (river + 7 * colour + 3 * mineral) % len(_RIVERS)
    mineral = (mineral + 11 * colour) % len(_MINERALS)
    first, middle, last = _COLOURS[colour], _MINERALS[mineral], _RIVERS[river]
    mailbox = f"{first}.{middle}.{_PLAIN_RIVERS[river]}".lower()
    if again:
        mailbox = f"{mailbox}.{again}"
    return Person(f"{first} {middle} {last}", f"{mailbox}@{_DOMAINS[number % len(_DOMAINS)]}")


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name.replace("Ł", "L"))
    return decomposed.encode("ascii", "ignore").decode()


_PLAIN_RIVERS = tuple(map(_plain, _RIVERS))
