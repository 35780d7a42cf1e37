"""A section of the index page that an application writes itself."""

from markupsafe import Markup
from pyramid.config import Configurator
from webtest import TestApp

from c2c_broadcast import Section


def test_html_of_the_application() -> None:
    """It is shown as it is, while there is some; operators' parts are for operators."""
    lines: list[str] = []

    class Written:
        def __html__(self) -> str:
            return "".join(lines)

        def __bool__(self) -> bool:
            return bool(lines)

    config = Configurator(settings={"c2c.secret": "a-secret-of-the-tests"})
    config.include("c2c_page")
    config.add_section(Section(name="ours", title="Ours", operators_only=False, html=Written()))
    config.add_section(Section(name="theirs", title="Theirs", html=Markup("<b>theirs</b>")))
    app = TestApp(config.make_wsgi_app())
    assert "Ours" not in app.get("/c2c")
    lines.append("<b>written</b>")
    page = app.get("/c2c")
    assert "Ours" in page
    assert "<b>written</b>" in page
    assert "theirs" not in page
    assert "<b>theirs</b>" in app.get("/c2c", headers={"X-API-Key": "a-secret-of-the-tests"})
