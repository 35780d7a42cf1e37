"""Print the graph of the ORM classes: ``python models_graph.py | dot -Tsvg > models.svg``."""

from acceptance_app import models

from c2c_db import generate_model_graph

if __name__ == "__main__":
    generate_model_graph(models)
