"""The public names of c2cwsgiutils 6.1.10, and the state of each: ``python names_of_six.py``.

Exits with 1 where one that a known service uses is missing.
"""

import importlib
import inspect
import sys

# Module: names; a trailing * marks one that a known service uses; parentheses hold the parameters that must be there.
NAMES = {
    "": "get_config_defaults()* get_logconfig_dict(filename)* get_paste_config()*",
    "auth": "is_auth(request)* auth_view(request)* is_enabled(config,env_name,config_name)* "
    "get_expected_secret(request)* is_auth_user(request)*"
    " check_access(request,repo,access_type)*"
    " check_access_config(request,auth_config)* auth_type(settings)* AuthenticationType* AuthConfig* UserDetails*"
    " SECRET_ENV SECRET_PROP GITHUB_REPOSITORY_ENV"
    " GITHUB_REPOSITORY_PROP GITHUB_ACCESS_TYPE_ENV GITHUB_ACCESS_TYPE_PROP GITHUB_CLIENT_ID_ENV GITHUB_CLIENT_ID_PROP"
    " GITHUB_CLIENT_SECRET_ENV GITHUB_CLIENT_SECRET_PROP GITHUB_AUTH_URL_ENV GITHUB_AUTH_URL_PROP GITHUB_TOKEN_URL_ENV"
    " GITHUB_TOKEN_URL_PROP GITHUB_USER_URL_ENV GITHUB_USER_URL_PROP GITHUB_REPO_URL_ENV GITHUB_REPO_URL_PROP"
    " GITHUB_AUTH_COOKIE_ENV GITHUB_AUTH_COOKIE_PROP GITHUB_AUTH_SECRET_ENV GITHUB_AUTH_SECRET_PROP"
    " GITHUB_AUTH_PROXY_URL_ENV GITHUB_AUTH_PROXY_URL_PROP GITHUB_SCOPE_ENV GITHUB_SCOPE_PROP GITHUB_SCOPE_DEFAULT"
    " USE_SESSION_ENV USE_SESSION_PROP",
    "broadcast": "subscribe(channel,callback)* unsubscribe(channel)* broadcast(channel,params,expect_answers,timeout)*"
    " decorator(channel,expect_answers,timeout)* init(config)* includeme(config)* cleanup()*",
    "client_info": "Filter* filter_factory*",
    "config_utils": "env_or_config(config,env_name,config_name,default,type_) env_or_settings(settings)"
    " config_bool(value) get_base_path(config)",
    "coverage_setup": "includeme init",
    "db": "setup_session(config)* create_session* init(config,master_prefix,slave_prefix,force_master,force_slave)*"
    " SessionFactory get_engine(settings,prefix) get_session_factory(engine)"
    " get_tm_session(session_factory,transaction_manager)"
    " get_tm_session_pyramid(session_factory,transaction_manager,request) FORCE_READONLY",
    "db_maintenance_view": "includeme install_subscriber",
    "debug": "get_size* dump_memory_maps* init_daemon* init includeme",
    "debug.utils": "get_size dump_memory_maps",
    "errors": "includeme init",
    "health_check": "HealthCheck* JsonCheckException* EngineType* includeme init",
    "index": "additional_title* additional_auth* additional_noauth* section* paragraph* "
    "link(url,label,cssclass,target)* form input_ button includeme init",
    "loader": "Loader*",
    "logging_view": "includeme install_subscriber init",
    "models_graph": "generate_model_graph*",
    "pretty_json": "init* includeme _FastDumps(pretty_print,sort_keys)*",
    "profiler": "Profile(path,print_number) filter_factory filter_wsgi_app",
    "prometheus": "start(registry)* cleanup()* build_metric_name(postfix)* MemoryMapCollector(memory_type,pids)*"
    " ResourceCollector MemoryInfoCollector"
    " includeme serialize_collected_data SerializedMetric SerializedSample MultiProcessCustomCollector"
    " MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS* start_single_process",
    "pyramid": "includeme*",
    "pyramid_logging": "JsonLogHandler(stream)* PyramidCeeSysLogHandler*",
    "redis_stats": "includeme init",
    "redis_utils": "get(settings) cleanup() PubSubWorkerThread"
    " REDIS_URL_KEY REDIS_OPTIONS_KEY REDIS_SENTINELS_KEY REDIS_SERVICENAME_KEY"
    " REDIS_DB_KEY REDIS_URL_KEY_PROP REDIS_OPTIONS_KEY_PROP REDIS_SENTINELS_KEY_PROP REDIS_SERVICENAME_KEY_PROP"
    " REDIS_DB_KEY_PROP",
    "request_tracking": "includeme init",
    "scripts": "genversion",
    "scripts.genversion": "_get_package_version(text)",
    "sentry": "includeme(config)* capture_exceptions* filter_wsgi_app* filter_factory*",
    "services": "create*",
    "setup_process": "fill_arguments(parser,use_attribute,default_config_uri)* init(config_file)*"
    " bootstrap_application(config_uri,options)* bootstrap_application_from_options(options)*"
    " init_logging(config_file) PyramidEnv",
    "sql_profiler": "includeme init",
    "sqlalchemylogger.handlers": "SQLAlchemyHandler*",
    "stats_pyramid": "includeme init init_db_spy()",
    "version": "get_version() includeme init",
    "acceptance": "retry*",
    "acceptance.connection": "Connection* CacheExpected* check_response(response,expected_status,cache_expected)",
    "acceptance.print": "PrintConnection*",
    "acceptance.utils": "wait_url* retry_timeout* approx* in_docker DOCKER_GATEWAY skipIfCI",
    "acceptance.image": "check_image* check_image_file check_screenshot* normalize_image(image)",
}


def states():
    """Yield (module and name, whether a known service uses it, what is wrong with it or None) for each name."""
    for module_name, texts in NAMES.items():
        full = f"c2cwsgiutils.{module_name}".rstrip(".")
        for text in texts.split():
            name, _, parameters = text.rstrip("*").rstrip(")").partition("(")
            why = _wrong(full, name, [one for one in parameters.split(",") if one])
            yield f"{full}.{name}", text.endswith("*"), why


def _wrong(module_name, name, parameters):
    try:
        value = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        return str(error)
    missing = [one for one in parameters if one not in inspect.signature(value).parameters]
    return f"has no parameter {', '.join(missing)}" if missing else None


def main():
    """Print each name with its state, and how many are as they were."""
    found = list(states())
    for name, is_used, why in found:
        sys.stdout.write(f"{why or 'ok'}\t{'used by services' if is_used else 'public'}\t{name}\n")
    used = [why is None for _, is_used, why in found if is_used]
    good = [why is None for _, _, why in found]
    sys.stdout.write(f"used by known services: {sum(used)} of {len(used)}; public: {sum(good)} of {len(good)}\n")
    return not all(used)


if __name__ == "__main__":
    sys.exit(main())
