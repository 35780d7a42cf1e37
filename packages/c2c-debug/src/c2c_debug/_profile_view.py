"""``profile``: what all threads do, sampled for some seconds."""

import json
import os
import socket
from typing import Any

from pyramid.httpexceptions import HTTPNotAcceptable
from pyramid.response import Response

from c2c_broadcast import json_error
from c2c_broadcast.broadcast import Answers
from c2c_debug import _flame_graph
from c2c_debug._parameters import choice, number
from c2c_debug._profile_formats import collapsed, speedscope, title, tree
from c2c_debug._together import silent
from c2c_debug._tools import PROFILE, take_profile, tools_of

_LONGEST = 60.0
_FORMATS = ("speedscope", "collapsed", "html")
_OFFERS = {"application/json": "speedscope", "text/html": "html", "text/plain": "collapsed"}


def view(request: Any) -> Any:
    """Sample all threads of this process, or of every one (``scope=all``), for ``seconds`` at ``hz``."""
    seconds = number(request, "seconds", 5, minimum=0.1, maximum=_LONGEST)
    hz = number(request, "hz", 100, minimum=1, maximum=1000)
    scope = choice(request, "scope", "one", "all")
    form = choice(request, "format", *_FORMATS) if request.params.get("format") else _accepted(request)
    tools = tools_of(request.registry)
    with tools.gate.request("profile", seconds) as ticket:
        if scope == "all":
            answers = tools.ask(PROFILE, {"ticket": ticket, "seconds": seconds, "hz": hz}, seconds)
        else:
            mine = {"hostname": socket.gethostname(), "pid": os.getpid(), **take_profile(seconds, hz)}
            answers = Answers([mine], [], [], [], complete=True)
    return _answer(answers, form)


def _answer(answers: Answers, form: str) -> Any:
    found = sorted(answers.answers, key=lambda one: (one["hostname"], one["pid"]))
    missing = silent(answers)
    name = title(found) + (f", missing: {', '.join(_who(one) for one in missing)}" if missing else "")
    dropped = sum(one["dropped"] for one in found)
    if form == "collapsed":
        notes = "".join(f"# missing: {_who(one)}\n" for one in missing)
        return _respond(notes + collapsed(found), "text/plain")
    if form == "html":
        page = _flame_graph.page(tree(found), name, dropped=dropped)
        response = _respond(page.html, "text/html")
        response.headers["Content-Security-Policy"] = page.policy
        return response
    body = {**speedscope(found, name), "c2c": {"missing": missing, "dropped": dropped}}
    response = _respond(json.dumps(body), "application/json")
    response.content_disposition = 'inline; filename="profile.speedscope.json"'
    return response


def _accepted(request: Any) -> str:
    offers = request.accept.acceptable_offers(list(_OFFERS))
    if not offers:
        raise json_error(HTTPNotAcceptable, f"A profile is {', '.join(_OFFERS)}; format={'|'.join(_FORMATS)} chooses")
    # Browsers accept everything: what is not asked for by name is the default.
    best, quality = offers[0]
    return _OFFERS["application/json" if ("application/json", quality) in offers else best]


def _respond(text: str, content_type: str) -> Any:
    return Response(text, content_type=content_type, charset="UTF-8", vary=("Accept",))


def _who(entry: dict[str, Any]) -> str:
    return f"{entry['hostname']}/{entry['pid']}" if "pid" in entry else "all other processes"
