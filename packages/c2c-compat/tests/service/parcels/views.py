"""The views, as services of cornice."""

import logging

import requests
from pyramid.httpexceptions import HTTPMovedPermanently, HTTPNoContent, HTTPNotFound, exception_response
from sqlalchemy import text

from c2cwsgiutils import services, stats
from parcels import cache, models

LOG = logging.getLogger(__name__)

parcels = services.create("parcels", "/parcels", cors_credentials=True)
parcel = services.create("parcel", "/parcels/{id}")
echo = services.create("echo", "/echo")
cached = services.create("cache", "/cache")
broken = services.create("broken", "/broken")
proxied = services.create("proxied", "/proxied")
moved = services.create("moved", "/moved")
nothing = services.create("nothing", "/nothing")
faults = services.create("faults", "/faults")


@parcels.get()
def parcels_get(request):
    """List them."""
    with stats.timer_context(["parcels", "list"]):
        found = models.DBSession.query(models.Parcel).order_by(models.Parcel.id).all()
    stats.increment_counter(["parcels", "listed"], len(found))
    LOG.info("Listed %d parcels", len(found))
    return [{"id": one.id, "owner": one.owner} for one in found]


@parcels.put()
def parcels_put(request):
    """Tell what is there where writes go to."""
    return parcels_get(request)


@parcels.post()
def parcels_post(request):
    """Add one."""
    models.DBSession.add(models.Parcel(**request.json))
    models.DBSession.flush()
    return {}


@parcel.get()
def parcel_get(request):
    """Show one."""
    found = models.DBSession.get(models.Parcel, int(request.matchdict["id"]))
    if found is None:
        raise HTTPNotFound("No such parcel")
    return {"id": found.id, "owner": found.owner}


@echo.post()
def echo_post(request):
    """Say the same, on the replica, and whether a transaction there may write."""
    first = models.DBSession.query(models.Parcel.owner).order_by(models.Parcel.id).first()
    read_only = models.DBSession.execute(text("SHOW transaction_read_only")).scalar()
    return {"same": request.json, "owner": first.owner, "read_only": read_only}


@cached.post()
def cache_post(request):
    """Reload everywhere."""
    return cache.reload_cache(name="parcels")


@broken.get()
def broken_get(request):
    """Fail."""
    raise ValueError("broken on purpose")


@proxied.get()
def proxied_get(request):
    """Tell what the request is taken for, and what another service is told."""
    told = requests.get(request.params["other"], timeout=30).json() if "other" in request.params else None
    return {"url": request.url, "client": request.client_addr, "id": request.c2c_request_id, "told": told}


@moved.get()
def moved_get(request):
    """Say where it is now."""
    raise HTTPMovedPermanently(request.route_url("parcels"))


@nothing.get()
def nothing_get(request):
    """Have nothing to say."""
    raise HTTPNoContent


@faults.get()
def faults_get(request):
    """Write in a GET, ask the database what it can't answer, or raise the status that is asked for."""
    if "id" in request.params:
        models.DBSession.add(models.Parcel(id=int(request.params["id"]), owner="a visitor"))
        models.DBSession.flush()
    elif "text" in request.params:
        models.DBSession.execute(text("SELECT * FROM parcels.parcel WHERE id = 'a text'"))
    else:
        raise exception_response(int(request.params["status"]), detail="as you wish")
    return {}
