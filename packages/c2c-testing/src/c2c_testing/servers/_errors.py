"""What goes wrong with local servers."""


class ServerError(RuntimeError):
    """A local server did not start, stop or do what was asked; the message has the end of its log."""


class PortBusyError(ServerError):
    """Something else listens on the port that was asked for."""
