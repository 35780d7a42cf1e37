"""A graph of the ORM classes."""

from c2c_db import generate_model_graph

__all__ = ["generate_model_graph"]
