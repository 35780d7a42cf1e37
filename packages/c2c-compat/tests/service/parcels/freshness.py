"""A metric of the service's own."""

from c2cwsgiutils.metrics import Provider


class Freshness(Provider):
    """The age of the data."""

    def __init__(self):
        super().__init__("parcels_age_seconds", "Age of the parcels")

    def get_data(self):
        """Tell it."""
        return [({"town": "Aigle"}, 12.5)]
