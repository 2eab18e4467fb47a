"""Names that are cut stay different."""

from __future__ import annotations

import pytest

from streambind.persistence.cut_names import cut_name


@pytest.mark.parametrize("name", ["", "short", "ü" * 10])
def test_what_fits_stays_as_it_is(name: str) -> None:
    assert cut_name(name, 20) == name


@pytest.mark.parametrize("name", ["x" * 21, "ü" * 11, "x" + "ü" * 10])
def test_what_does_not_fit_is_cut_and_differs_from_what_begins_alike(name: str) -> None:
    cut = cut_name(name, 20)
    assert len(cut.encode()) <= 20
    assert cut.startswith(name[:4])
    assert cut_name(name + "y", 20) != cut
