"""Models for test_models_graph: inheritance, a mix-in, an association, names that need care."""

from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """The base."""


class OtherBase(DeclarativeBase):
    """Another base."""


class Dated:
    """A mix-in."""

    created: Mapped[str | None]


friends = Table("friends", Base.metadata, Column("a", ForeignKey("person.id")), Column("b", ForeignKey("person.id")))


class Person(Dated, Base):
    """A parent, in its own table."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    kind: Mapped[str]
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    letters: Mapped[list["Letter"]] = relationship(back_populates="author")
    friends: Mapped[list["Person"]] = relationship(
        secondary=friends, primaryjoin="Person.id == friends.c.a", secondaryjoin="Person.id == friends.c.b"
    )
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012 - as SQLAlchemy wants


class Employee(Person):
    """A child with a table of its own."""

    __tablename__ = "employee"
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    salary: Mapped[int]
    __mapper_args__ = {"polymorphic_identity": "employee"}  # noqa: RUF012 - as SQLAlchemy wants


class Guest(Person):
    """A child in its parent's table."""

    nickname: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "guest"}  # noqa: RUF012 - as SQLAlchemy wants


class Letter(Base):
    """Something with a foreign key."""

    __tablename__ = "letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    odd: Mapped[str] = mapped_column('a "quoted" name')
    author: Mapped[Person] = relationship(back_populates="letters")


class Alone(OtherBase):
    """The only one of another base."""

    __tablename__ = "alone"
    id: Mapped[int] = mapped_column(primary_key=True)


NotABase = 42
