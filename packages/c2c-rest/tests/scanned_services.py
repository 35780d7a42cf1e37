"""A module of an application, to be scanned."""

from c2c_rest import services

hello = services.create("scanned_hello", "/hello")
described = services.create("scanned_described", "/described", "A description", {"origins": ("https://page.example",)})


def create_for(name):
    """Create a service for a caller of this function, as helpers of applications do."""
    return services.create(name, f"/{name}", depth=2)


@hello.get()
def hello_get(request):
    """Answer."""
    return {"hello": True}


@described.get()
def described_get(request):
    """Answer."""
    return {"described": True}
