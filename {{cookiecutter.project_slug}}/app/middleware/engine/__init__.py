"""The machinery behind the middleware files: no configuration keys, nothing of this service.

A request and its response
    pipeline.py          the one WSGI layer, and the phases of a request in their order
    exchange.py          one request and its response: the head held back, the body passed on
    kept_headers.py      headers that an error needs, whoever renders it
    clients.py           an address and who stands behind it; what a CORS preflight is
    paths.py             which paths a setting is for
    marks.py             what a decorator says of a view or of a blueprint
    routes.py            which route a request has matched, known until its end
    shown_paths.py       how a client's text and a path stand in a message of the log
    refusals.py          what a security person looks for
Settings
    settings.py          reads configuration keys, and refuses a wrong one in one style of message
Numbers (metrics.py)
    series.py            what is counted, in this process or for all of a server
Log lines (logging.py)
    context.py           which request is served now, and the ids of its lines
    ids.py               ids of requests and of traces
    rendering.py         how a line looks, and that nothing forges one
    records.py           the records of other loggers, as lines
    tracebacks.py        an exception as text, in as much room as there is
    output.py            a destination, and how an application's lines look there
    lines.py             lines gathered, written whole, never waited for
    writer.py            the one thread that writes what was gathered, and the end of the process
    destinations.py      a file, standard output, or what a test reads instead
Limits (rate_limiting.py)
    declared_limits.py   what views and blueprints declare
    limit_plans.py       the words, by an example; which limits a route has, put together once
    limiting.py          counts each request on all limits of its route, in one step
    counted.py           limits as a request is counted on them, and the outcome
    networks.py          networks by address, for allow-lists
    limit_responses.py   429, and the headers of every response
    limiter_commands.py  `flask limiter`
    counters.py          times of admitted requests in this process, bounded
    redis_counters.py    the same in Redis, Valkey, Sentinel, Cluster; what happens while it is away
    redis_scripts.py     the steps that run in the store
    redis_client.py      a client that never waits for long
Pages and headers (cors.py, csrf.py, security.py)
    origins.py           web origins: read as people write them, compared as browsers send them
    cors_refusals.py     why a page may not read a response: said once, for the log and a person
    header_lists.py      small changes to a list of headers
    seen.py              what was seen already, bounded
    policies.py          content security policies
    header_profiles.py   the security headers of one part of a service
    sessions.py          session cookies that browsers take
    cookies.py           attributes that every cookie gets
    https_redirect.py    from http to https, and never round in a circle
Callers (authentication.py, app/tokens.py)
    credentials.py       a credential as it comes with a request
    identification.py    who presents it: only what may be right is compared, and only so often
    api_keys.py          callers and the hashes of their keys
    key_commands.py      `flask api-key`
    attempts.py          how many unknown credentials an address may try
    key_sets.py          the public keys of an identity provider
Bodies (validation.py)
    bodies.py            bodies that are whole, or refused
    forms.py             forms within their limits
    strict_json.py       JSON that means the same to every reader
"""
