"""The endpoints that the packages document: what is asked to record their answers, in this order."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as a client sends it below the demo's prefix ``/api``.

    ``who`` says as whom it is asked: ``public``, ``operator``. ``any_keys`` are members of the answer whose own keys
    depend on what happened before.
    """

    path: str
    says: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    who: tuple[str, ...] = ("public", "operator")
    any_keys: tuple[str, ...] = ()
    below_prefix: bool = True

    @property
    def title(self) -> str:
        """What stands above it: method, path, and the headers that matter."""
        return f"{self.method} {'/api' if self.below_prefix else ''}{self.path}"


PUBLIC = ("public",)
OPERATOR = ("operator",)
PLAIN = {"Accept": "text/plain"}
LEVEL = "/c2c/logging/level"
STATS = ("timers", "gauges", "counters")

ENDPOINTS: dict[str, tuple[Ask, ...]] = {
    "c2c-health": (
        Ask("/c2c/health_check", "The checks of level 1."),
        Ask("/c2c/health_check?max_level=2", "All that is good to know, too.", who=PUBLIC),
        Ask("/c2c/health_check?checks=db_engin", "A misspelt probe is never green.", who=PUBLIC),
        Ask("/c2c/health_check?max_level=2", "One line a check.", headers=PLAIN, who=PUBLIC),
        Ask("/c2c/health_check", "As health+json.", headers={"Accept": "application/health+json"}, who=PUBLIC),
        Ask("/c2c/health_check?scope=all", "Every process of the service.", any_keys=("checks",)),
        Ask("/c2c/health/live", "This process only: for a liveness probe.", who=PUBLIC),
        Ask("/c2c/health/ready", "Level 1, and not told to stop: for a readiness probe.", who=PUBLIC),
        Ask("/c2c/versions.json", "What `c2c-genversion` wrote.", who=PUBLIC, any_keys=("packages",)),
    ),
    "c2c-stats": (
        Ask("/metrics", "For Prometheus: the sums of all workers.", who=PUBLIC),
        Ask("/c2c/stats.json", "The numbers of the process that answers.", who=PUBLIC, any_keys=STATS),
        Ask("/c2c/stats.json?scope=all", "Of all processes.", who=PUBLIC, any_keys=STATS),
        Ask("/c2c/stats.json?reset=1", "Shown, then cleared.", any_keys=STATS),
    ),
    "c2c-db": (
        Ask("/c2c/db/maintenance", "Whether the service is read-only."),
        Ask("/c2c/db/maintenance?readonly=true&ttl=60&reason=upgrade", "Make it so, in every process."),
        Ask("/hello", "A write meanwhile.", method="PUT", body='{"value": "hello"}', who=PUBLIC),
        Ask("/c2c/db/maintenance?readonly=false", "And back.", who=OPERATOR),
    ),
    "c2c-logging": (
        Ask(LEVEL, "The levels that were changed.", any_keys=("overrides",)),
        Ask(f"{LEVEL}?name=sqlalchemy.engine", "One logger.", who=OPERATOR),
        Ask(f"{LEVEL}?name=sqlalchemy.engine&level=DEBUG&ttl=600", "Change it in every process, for ten minutes."),
        Ask(f"{LEVEL}?name=sqlalchemy.engine&level=LOUD", "A level that does not exist.", who=OPERATOR),
        Ask(f"{LEVEL}?name=sqlalchemy.engine&level=reset", "Back to what the ini file says.", who=OPERATOR),
        Ask(f"{LEVEL}?list=1", "All loggers of this process.", who=OPERATOR),
    ),
    "c2c-debug": (
        Ask("/c2c/debug/stacks", "What every thread of every process is at."),
        Ask("/c2c/debug/stacks", "As text.", headers=PLAIN, who=OPERATOR),
        Ask("/c2c/debug/profile?seconds=0.2&format=collapsed", "Where the time goes.", who=OPERATOR),
        Ask("/c2c/debug/memory?limit=2", "What fills the memory, in every process.", who=OPERATOR),
        Ask("/c2c/debug/memory_diff?path=/api/ping&limit=3", "What one request leaves behind.", who=OPERATOR),
        Ask("/c2c/debug/memory_maps", "The memory maps of this process.", who=OPERATOR),
        Ask(
            "/c2c/debug/show_refs.dot?analyze_type=pyramid.registry.Registry&max_depth=1&too_many=3",
            "Who refers to what, for Graphviz.",
            who=OPERATOR,
        ),
        Ask("/c2c/debug/show_refs.dot?analyze_type=Registri", "A type that is not there.", who=OPERATOR),
        Ask("/c2c/debug/sleep?time=0.1", "Nothing, after that time.", who=OPERATOR),
        Ask("/c2c/debug/headers", "The request as the service sees it.", who=OPERATOR),
        Ask("/c2c/debug/error?status=500", "An error, through the error views.", who=OPERATOR),
        Ask("/c2c/debug/time", "The clock."),
        Ask("/c2c/sql_profiler", "Whether statements are explained."),
        Ask("/c2c/sql_profiler?enable=1&mode=explain&ttl=60", "Explain new ones, in every process.", who=OPERATOR),
        Ask("/hello", "A request that reads.", who=PUBLIC),
        Ask("/c2c/sql_profiler?report=1&enable=0", "Off again, with what was found.", who=OPERATOR),
        Ask("/profiler", "The page of the Python profiler.", below_prefix=False),
    ),
    "c2c-rest": (
        Ask("/error?status=404", "Any error is JSON."),
        Ask("/error?status=503", "Problem details.", headers={"Accept": "application/problem+json"}, who=PUBLIC),
        Ask(
            "/hello",
            "The pre-flight of a service.",
            method="OPTIONS",
            headers={"Origin": "https://www.example.com", "Access-Control-Request-Method": "PUT"},
            who=PUBLIC,
        ),
    ),
    "c2c-page": (
        Ask("/c2c", "The index page: what each package offers."),
        Ask("/c2c/members", "The processes of the service."),
    ),
}
