"""Try c2c-broadcast."""

from call import NOBODY, configure, get

from c2c_broadcast import broadcast


def alone() -> None:
    """Ask an operator view, as somebody and as an operator."""
    config = configure("c2c_broadcast")
    config.add_operator_view(lambda request: {"path": request.path}, name="try", path="/try")
    app = config.make_wsgi_app()
    assert get(app, "/c2c/try").status == 403
    answer = get(app, "/c2c/try", operator=True)
    assert (answer.status, answer.json) == (200, {"path": "/c2c/try"}), answer


def redis() -> None:
    """Serve where Redis does not answer."""
    config = configure("c2c_broadcast", c2c__redis_url=f"redis://{NOBODY}")
    config.add_operator_view(lambda request: {"path": request.path}, name="try", path="/try")
    assert get(config.make_wsgi_app(), "/c2c/try", operator=True).status == 200
    assert broadcast.broadcast is not None
