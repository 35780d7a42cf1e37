"""Try c2c-page."""

from call import configure, get


def alone() -> None:
    """Show the page and what it asks."""
    app = configure("c2c_page").make_wsgi_app()
    assert "<h1>" in get(app, "/c2c").text
    assert get(app, "/c2c/static/main.js").status == 200
