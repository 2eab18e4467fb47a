"""Replicas of every shape, damaged at random: what differs is found and mended, all of it and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, String, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from streambind.event import EntityEvent
from streambind.inbound.replicates import replicates
from streambind.replicas import comparison
from streambind.replicas import repair as repair_module
from streambind.replicas.repair import Repaired
from streambind.replicas.source import Source
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from tests.integration.capture.models import SeatChanged
from tests.integration.test_source_diff import CopyBase, SeatColumns, SeatCopy, World, seats_into, world

__all__ = ["world"]

Place = tuple[str, int]
Values = tuple[Any, ...]
Operation = tuple[Any, ...]


class LabelChanged(EntityEvent):
    room: str
    number: int
    label: str


@replicates("in-seats", SeatChanged, soft_delete="is_gone")
class SoftSeat(SeatColumns, CopyBase):
    """Rows outlive their source's."""

    __tablename__ = "soft_seat"
    is_gone: Mapped[bool]


@replicates("in-seats", SeatChanged, owns=["guest"])
@replicates("in-labels", LabelChanged, owns=["label"])
class SharedSeat(SeatColumns, CopyBase):
    """Of two sources, each of which puts back its column when it deletes; and the service's own column."""

    __tablename__ = "shared_seat"
    label: Mapped[str | None] = mapped_column(String(20))
    remark: Mapped[str] = mapped_column(String(20), default="own")


@replicates("in-seats", SeatChanged, owns=["guest"], deletes="row")
@replicates("in-labels", LabelChanged, owns=["label"])
class LedSeat(SeatColumns, CopyBase):
    """Of two sources, one of which takes the row along."""

    __tablename__ = "led_seat"
    label: Mapped[str | None] = mapped_column(String(20))


@replicates(
    "in-seats",
    SeatChanged,
    columns={"visitor": "guest"},
    transform={"place": lambda event: f"{event.room}/{event.number}", "length": lambda e: len(e.guest or "")},
)
class ComputedSeat(CopyBase):
    """Its key is none of the source's."""

    __tablename__ = "computed_seat"
    place: Mapped[str] = mapped_column(String(40), primary_key=True)
    visitor: Mapped[str | None] = mapped_column(String(20))
    length: Mapped[int]


@replicates("in-seats", SeatChanged, where=lambda event: event.guest != "A")
class FittingSeat(SeatColumns, CopyBase):
    """Without those of one guest."""

    __tablename__ = "fitting_seat"


@dataclass(frozen=True)
class Shape:
    """How a class holds a seat. `values` are the columns that the seats fill; `blank`: what they are in a row that
    is not the seats' (None: there is no such row); `others`: columns that are not theirs."""

    cls: Any
    values: tuple[str, ...]
    of: Callable[[str | None], Values]
    spoilt: Callable[[str], dict[str, Any]]
    blank: Callable[[Values], bool] = lambda _: False
    others: tuple[str, ...] = ()
    keeps: Callable[[Values], Values] | None = None
    """What a row becomes that the source does not have; None: it goes."""
    is_keyed: bool = True
    fits: Callable[[str | None], bool] = lambda _: True
    """Whether the replica has a row of this guest."""

    def key(self, place: Place) -> dict[str, Any]:
        return {"room": place[0], "number": place[1]} if self.is_keyed else {"place": f"{place[0]}/{place[1]}"}

    def place(self, row: Any) -> Place:
        if self.is_keyed:
            return row.room, row.number
        room, _, number = row.place.partition("/")
        return room, int(number)


def _guest(name: str) -> dict[str, Any]:
    return {"guest": name}


SHAPES = [
    Shape(SeatCopy, ("guest", "state"), lambda guest: (guest, "free"), _guest),
    Shape(
        SoftSeat,
        ("guest", "is_gone"),
        lambda guest: (guest, False),
        lambda name: {"is_gone": True} if name == "A" else {"guest": name},
        blank=lambda values: bool(values[1]),
        keeps=lambda values: (values[0], True),
    ),
    Shape(
        SharedSeat,
        ("guest",),
        lambda guest: (guest,),
        _guest,
        blank=lambda values: values == (None,),
        others=("label", "remark"),
        keeps=lambda _: (None,),
    ),
    Shape(
        LedSeat,
        ("guest",),
        lambda guest: (guest,),
        _guest,
        blank=lambda values: values == (None,),
        others=("label",),
    ),
    Shape(
        ComputedSeat,
        ("visitor", "length"),
        lambda guest: (guest, len(guest or "")),
        lambda name: {"visitor": name},
        is_keyed=False,
    ),
    Shape(FittingSeat, ("guest",), lambda guest: (guest,), _guest, fits=lambda guest: guest != "A"),
]

places = st.tuples(st.sampled_from("ab"), st.integers(1, 3))
guests = st.sampled_from([None, "a", "A", "y"])
history = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "put", "put", "silently"]), places, guests),
        st.tuples(st.just("remove"), places),
        st.tuples(st.just("deliver")),
    ),
    max_size=12,
)
damages = st.lists(
    st.one_of(
        st.tuples(st.just("spoil"), places, st.sampled_from(["a", "A", "x"])),
        st.tuples(st.sampled_from(["lose", "invent", "stale", "label"]), places),
    ),
    max_size=6,
)


@dataclass
class Damaged:
    """A replica of a shape, and what is expected of it."""

    world: World
    shape: Shape
    stale: set[Place] = field(default_factory=set)
    """Those whose guard says that the last event has not been applied: what they hold is on its way."""

    def play(self, operation: Operation) -> None:
        world = self.world
        match operation:
            case ("put" | "silently") as how, (room, number), guest:
                world.put(room, number, guest, silently=how == "silently")
            case "remove", (room, number):
                world.remove(room, number)
            case ("deliver",):
                world.deliver()
            case "spoil", place, name:
                world.by_hand(
                    update(self.shape.cls).filter_by(**self.shape.key(place)).values(self.shape.spoilt(name))
                )
            case "lose", place:
                world.by_hand(delete(self.shape.cls).filter_by(**self.shape.key(place)))
            case "invent", place if place not in self.rows():
                values = dict(zip(self.shape.values, self.shape.of("invented"), strict=True))
                if self.shape.cls is SeatCopy:
                    values |= {"notes": None}
                world.by_hand(insert(self.shape.cls).values(**self.shape.key(place), **values))
            case "label", place if self.shape.others:
                self._label(place)
            case "stale", place:
                guard = world.reader.tables.guard
                is_key = guard.c.key == f'["{place[0]}",{place[1]}]'.encode()
                step = update(guard).where(is_key).values(seq=guard.c.seq - 1)
                if world.reader.run(lambda c: c.execute(step).rowcount) and place not in self.stale:
                    self.stale.add(place)

    def _label(self, place: Place) -> None:
        """As the other source would."""
        key = self.shape.key(place)
        if place in self.rows():
            self.world.by_hand(update(self.shape.cls).filter_by(**key).values(label="l"))
        else:
            self.world.by_hand(insert(self.shape.cls).values(**key, label="l"))

    def rows(self) -> dict[Place, tuple[Values, Values]]:
        """The values of the seats, and those of others."""
        query = select(self.shape.cls.__table__)
        found = self.world.reader.run(lambda connection: connection.execute(query).all())

        def values(row: Any, names: Iterable[str]) -> Values:
            return tuple(getattr(row, name) for name in names)

        return {
            self.shape.place(row): (values(row, self.shape.values), values(row, self.shape.others))
            for row in found
        }

    def expected(self) -> dict[Place, Values]:
        return {
            place: self.shape.of(guest) for place, guest in self.world.seats().items() if self.shape.fits(guest)
        }

    def differing(self) -> dict[str, set[Place]]:
        rows, expected = self.rows(), self.expected()
        both = rows.keys() & expected.keys()
        return {
            "missing": expected.keys() - rows.keys(),
            "extra": {place for place in rows.keys() - expected.keys() if not self.shape.blank(rows[place][0])},
            "wrong": {place for place in both if rows[place][0] != expected[place]},
        }

    def lasting(self) -> dict[str, set[Place]]:
        """What differs, and is not on its way. Whether an extra row is cannot be told by a key of another kind."""
        return {
            kind: places if kind == "extra" and not self.shape.is_keyed else places - self.stale
            for kind, places in self.differing().items()
        }

    def should_become(self) -> dict[Place, tuple[Values, Values]]:
        """The rows as mending should leave them."""
        rows, expected, lasting = self.rows(), self.expected(), self.lasting()
        fresh = tuple("own" if name == "remark" else None for name in self.shape.others)
        for place in lasting["missing"] | lasting["wrong"]:
            rows[place] = expected[place], rows[place][1] if place in rows else fresh
        for place in lasting["extra"]:
            values, others = rows.pop(place)
            if self.shape.keeps is not None:
                rows[place] = self.shape.keeps(values), others
        return rows


def _play(world: World, shape: Shape, before: list[Operation], damage: list[Operation]) -> None:
    world = replace(world, copy=shape.cls, plan=seats_into(shape.cls, world.reader))
    world.empty()
    damaged = Damaged(world, shape)
    for operation in (*before, ("deliver",), *damage):
        damaged.play(operation)
    lasting, moving = damaged.lasting(), sum(map(len, damaged.differing().values()))
    moving -= sum(map(len, lasting.values()))

    seen = world.difference()
    found = {kind: _places(shape, keys) for kind, keys in seen.difference.examples.items()}
    assert found == {kind: places for kind, places in lasting.items() if places}
    assert (seen.moving, seen.unreadable) == (moving, 0)

    expected = damaged.should_become()
    done = repair_module.repair(world.reader, world.replica(), world.publisher(), seen, force=True)
    assert done == Repaired(len(lasting["missing"]) + len(lasting["wrong"]), len(lasting["extra"]))
    world.deliver()
    assert damaged.rows() == expected
    again = world.difference()
    assert (again.difference.is_none, again.moving) == (True, moving)
    assert world.tables() == set()


def _places(shape: Shape, keys: Iterable[tuple[Any, ...]]) -> set[Place]:
    names = ("room", "number") if shape.is_keyed else ("place",)
    return {shape.place(SimpleNamespace(**dict(zip(names, key, strict=True)))) for key in keys}


_ANY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@settings(max_examples=60, deadline=None, suppress_health_check=_ANY, database=None)
@given(shape=st.sampled_from(SHAPES), before=history, damage=damages)
def test_what_was_damaged_is_found_and_mended(
    world: World, shape: Shape, before: list[Operation], damage: list[Operation]
) -> None:
    _play(world, shape, before, damage)


@settings(max_examples=12, deadline=None, suppress_health_check=_ANY, database=None)
@given(shape=st.sampled_from(SHAPES), before=history, damage=damages)
def test_what_was_damaged_is_found_and_mended_on_every_database(
    world: World, shape: Shape, before: list[Operation], damage: list[Operation]
) -> None:
    _play(world, shape, before, damage)


_FILLED: list[Operation] = [
    *(("put", ("a", number), "y") for number in (1, 2, 3)),
    ("put", ("b", 1), "y"),
    ("remove", ("b", 1)),
]
_DAMAGE: list[Operation] = [
    ("spoil", ("a", 1), "x"),
    ("lose", ("a", 2)),
    ("invent", ("b", 3)),
    ("label", ("b", 3)),
    ("spoil", ("a", 3), "x"),
    ("stale", ("a", 3)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.cls.__name__)
def test_each_damage_of_each_shape(world: World, shape: Shape) -> None:
    _play(world, shape, _FILLED, _DAMAGE)


# Mutants


def _takes_what_is_on_its_way_for_a_difference(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GroupKeys, "guarded", lambda *_: {})
    patch.setattr(SourceKeys, "given", lambda *_: {})


def _looks_at_keys_only(patch: pytest.MonkeyPatch) -> None:
    differs = comparison.Comparison._differs

    def blind(self: comparison.Comparison) -> ColumnElement[bool]:
        plan = self._plan
        self._plan = replace(plan, columns=plan.columns[: len(plan.key)])
        found = differs(self)
        self._plan = plan
        return found

    patch.setattr(comparison.Comparison, "_differs", blind)


def _takes_deleted_rows_for_extra_ones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(comparison.Comparison, "_held", lambda _: None)


def _deletes_rows_that_should_be_cleared(patch: pytest.MonkeyPatch) -> None:
    removed = repair_module._Removal._removed

    def all_of_it(self: repair_module._Removal, session: Session, key: Any) -> int:
        self._replica = replace(self._replica, plan=replace(self._replica.plan, cleared=()))
        return removed(self, session, key)

    patch.setattr(repair_module._Removal, "_removed", all_of_it)


def _sends_nothing_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Source, "send", lambda _, refs: len(refs))


MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Any]] = {
    "takes what is on its way for a difference": (_takes_what_is_on_its_way_for_a_difference, SeatCopy),
    "looks at keys only": (_looks_at_keys_only, SeatCopy),
    "takes deleted rows for extra ones": (_takes_deleted_rows_for_extra_ones, SoftSeat),
    "takes rows of another source for extra ones": (_takes_deleted_rows_for_extra_ones, SharedSeat),
    "deletes rows that should be kept as deleted": (_deletes_rows_that_should_be_cleared, SoftSeat),
    "deletes rows with columns of others": (_deletes_rows_that_should_be_cleared, SharedSeat),
    "sends nothing again": (_sends_nothing_again, ComputedSeat),
}


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("break_it", "cls"), MUTANTS.values(), ids=MUTANTS)
def test_a_command_is_rejected_that(
    world: World, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None], cls: Any
) -> None:
    (shape,) = (each for each in SHAPES if each.cls is cls)
    break_it(monkeypatch)
    with pytest.raises(AssertionError):
        _play(world, shape, _FILLED, _DAMAGE)
