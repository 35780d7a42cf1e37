"""``python models_graph.py [NAME]``."""

import models

from c2cwsgiutils.models_graph import generate_model_graph

if __name__ == "__main__":
    generate_model_graph(models)
