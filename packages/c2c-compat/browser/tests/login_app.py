"""A service of c2cwsgiutils 6.1 whose people log in with GitHub; its settings come from the environment."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPFound

import c2cwsgiutils.auth
import c2cwsgiutils.pyramid


def source(request):
    """Show something to those who have a right on its repository."""
    wanted = {"github_repository": f"camp/{request.matchdict['name']}", "github_access_type": "pull"}
    if not c2cwsgiutils.auth.check_access_config(request, wanted):
        raise HTTPForbidden
    return {"source": request.matchdict["name"]}


def forbidden(request):
    """Send who is not logged in to log in."""
    if c2cwsgiutils.auth.is_auth(request):
        request.response.status = 403
        request.response.text = "This is not for you"
        return request.response
    came_from = {"came_from": request.current_route_url()}
    return HTTPFound(request.route_url("c2c_github_login", _query=came_from))


config = Configurator(settings={"c2c.compat_era": "6", "c2c.debug_view_enabled": "1"}, route_prefix="/api")
config.include(c2cwsgiutils.pyramid.includeme)
config.add_route("source", "/source/{name}")
config.add_view(source, route_name="source", renderer="json")
config.add_forbidden_view(forbidden)
app = config.make_wsgi_app()
