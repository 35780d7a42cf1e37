"""The application that servers ask for: ``c2cwsgiutils.wsgi_app:application``. Built when it is first read."""

from c2cwsgiutils import wsgi

__getattr__ = wsgi.__getattr__
