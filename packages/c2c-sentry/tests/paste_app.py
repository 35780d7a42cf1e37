"""An application for an ini file of the tests."""


def factory(global_conf, **local_conf):
    """Return an application that fails."""

    def application(environ, start_response):
        raise ZeroDivisionError

    return application
