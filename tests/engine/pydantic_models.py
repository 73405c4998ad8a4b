"""Twenty models as people write them, and one that is drawn at random: what replies are held to."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Name = Annotated[str, Field(min_length=1, max_length=12)]
Word = Annotated[str, Field(pattern=r"^[a-z]{2,8}$")]


class Colour(Enum):
    RED = "red"
    GREEN = 'gr"een'
    BLUE = "b\\lue"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Person(BaseModel):
    name: Name
    age: int = Field(ge=0, le=130)
    colour: Colour
    home: Optional[Word] = None  # noqa: UP045


class Stay(BaseModel):
    arrival: date
    departure: date
    booked: datetime
    breakfast: time


class Sensor(BaseModel):
    celsius: float = Field(gt=-273.15, lt=5_000)
    share: float = Field(gt=0, lt=1)
    raw: float
    count: int


class Order(BaseModel):
    id: UUID
    sku: str = Field(pattern=r"^[A-Z]{2}-\d{4}$")
    amount: int = Field(gt=0, multiple_of=5)
    level: Level


class Price(BaseModel):
    total: str = Field(pattern=r"^\d{1,6}\.\d{2}$")
    tax: Literal["0.07", "0.19"]
    currency: Literal["EUR", "USD"] = "EUR"


class Money(BaseModel):
    net: Decimal | None
    rate: Annotated[Decimal, Field(ge=0, le=1)] | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[Word] = Field(max_length=3)


class Pet(BaseModel):
    owner: Name
    pet: Cat | Dog = Field(discriminator="kind")


class Bag(BaseModel):
    numbers: list[Annotated[int, Field(ge=-5, le=5)]] = Field(min_length=2, max_length=6)
    words: list[Name] = Field(max_length=2)


class Scores(BaseModel):
    scores: dict[Word, int] = Field(max_length=3)


class Counts(BaseModel):
    counts: dict[Annotated[str, Field(max_length=6)], int] = Field(min_length=1, max_length=3)


class Tree(BaseModel):
    value: int = Field(ge=0, le=9)
    children: list[Leaf | None] = Field(max_length=2)


class Leaf(BaseModel):
    tree: Tree | None
    mark: Literal["x", 1, None, True]


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Route(BaseModel):
    points: tuple[Point, Point]
    pair: tuple[int, bool, Name]


class Mixed(BaseModel):
    value: int | bool | Word | Point | None


class Window(BaseModel):
    every: timedelta
    at: list[time] = Field(min_length=1, max_length=2)


class Flags(BaseModel):
    on: bool
    off: Literal[False]
    none: None
    always: Literal["only"]


class Range(BaseModel):
    low: int = Field(ge=-(10**12), lt=-3)
    high: float = Field(ge=1e-6, le=2e-6)
    exact: int = Field(ge=41, le=42)


class Renamed(BaseModel):
    first: Name = Field(alias='fi"rst name')
    second: Word = Field(alias="zweites €")


class Base(BaseModel):
    created: datetime
    tags: list[Literal["a", "b"]] = Field(default_factory=list, max_length=3)


class Derived(Base):
    inner: dict[Literal["left", "right"], Point] = Field(max_length=2)


MODELS: list[Any] = [
    Person, Stay, Sensor, Order, Price, Money, Pet, Bag, Scores, Counts, Tree, Route, Mixed, Window,
    Flags, Range, Renamed, Derived, list[Cat | Dog], Annotated[date | None, Field()],
]  # fmt: skip
BOUNDED = {list[Cat | Dog]: {"maxItems": 3}}
"""Keywords for schemas that would let a reply go on for ever."""


def schema_of(model: Any) -> dict[str, Any]:
    """The schema that pydantic writes of a model."""
    return {**TypeAdapter(model).json_schema(), **BOUNDED.get(model, {})}
