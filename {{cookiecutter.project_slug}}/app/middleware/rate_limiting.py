"""Rate limits that hold: exact over threads, workers and machines, whatever happens to the store.

Needs:  pip install "flask>=3.1,<4" "Flask-Limiter>=4.1.1,<4.2"
        and "redis>=6.4,<9" for a store that several processes share
Add:    configure_rate_limiting(app)

Key                          Default          Meaning (unit)
---------------------------  ---------------  ------------------------------------------------
RATELIMIT_ENABLED            True             False: no limits at all
RATELIMIT_DEFAULT            none             limits per client and route: "200 per hour;50 per
                                              minute". A view's own @limiter.limit replaces them
RATELIMIT_APPLICATION        none             limits per client over all routes
RATELIMIT_STORAGE_URI        "memory://"      one process; for more: redis:// rediss:// valkey://
                                              redis+sentinel://host:port,.../service
                                              redis+cluster://host:port,...
RATELIMIT_STORAGE_OPTIONS    none             extra arguments of the Redis client (a mapping)
RATELIMIT_STORAGE_TIMEOUT    0.25             longest wait for the store, connecting included
                                              (seconds)
RATELIMIT_WORKERS            1                processes that share the store, all machines
                                              together: each one's part while it is away
RATELIMIT_WORKER             none             which of them this is, from 0: what cannot be
                                              divided is then divided too (gunicorn.conf.py)
RATELIMIT_MEMORY_COUNTERS    100000           most counters kept in memory: a client has one per
                                              limit and route, of about 450 bytes
RATELIMIT_KEY_PREFIX         the app's name   keeps services on one store apart
RATELIMIT_STRATEGY           "moving-window"  the only one: no burst at the edge of a window
RATELIMIT_HEADERS_ENABLED    True             RateLimit and RateLimit-Policy on every answer

`limiter` is Flask-Limiter's: @limiter.limit("5 per minute"), @limiter.exempt, shared_limit, limits
of blueprints and the `flask limiter` commands work as documented there. What is different: all
limits of a request are one atomic step (a refused request spends nothing), in one round trip;
unknown paths, 405 and redirects count too; a bad limit is refused at start; two applications in
one process have limits of their own. A client is an IPv4 address or an IPv6 /64.

Standards: RFC 6585 (429), RFC 9110 10.2.3 (Retry-After), RFC 9457, draft-ietf-httpapi-
ratelimit-headers-10 (RateLimit), OWASP ASVS 5.0 2.4.1
Version: 1.0.0
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import re
import socket
import threading
import time
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from zlib import crc32

import flask_limiter
from flask import Flask, Response, after_this_request, current_app, request
from flask_limiter import RateLimitExceeded
from flask_limiter._limits import RouteLimit, RuntimeLimit  # its types: the range is pinned
from flask_limiter.util import get_qualified_name
from limits import RateLimitItem, WindowStats, parse_many
from limits.storage import Storage, storage_from_string
from limits.strategies import RateLimiter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STRATEGY = "moving-window"
KEY_VERSION = 1  # of what is stored under a key: a change of it never meets old data
UNMATCHED = "__unmatched__"  # the one route that unknown paths, 405 and redirects share
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDIS_SCHEMES = ("redis", "rediss", "redis+unix", "redis+sentinel", "redis+cluster")
logger = logging.getLogger(__name__)


# -- who is asking ---------------------------------------------------------------------------------


def client_of(address: str) -> str:
    """Name the client behind an address: IPv4 as it is, IPv6 by its /64, never empty.

    One customer holds a whole IPv6 /64; ::ffff:192.0.2.1 is 192.0.2.1. Text that is no address
    shares one bucket, so that a forged header cannot make a new client of every request.
    """
    try:
        socket.inet_pton(
            socket.AF_INET, address
        )  # takes one spelling only; 2 us less than the rest
        return address
    except (OSError, ValueError):
        pass
    host = address.strip()
    if host.startswith("["):  # some proxies append the port: [2001:db8::1]:443
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def client_key() -> str:
    """The client of this request, after configure_proxy; Flask-Limiter's key_func."""
    address = request.environ.get("REMOTE_ADDR") or ""
    return client_of(address[:64])  # no address is longer: what is kept of garbage is short


def name_in_key(text: object) -> str:
    """What stands for a client or a scope in a key: itself, or its hash if it could do harm.

    A name may come from a request (key_func, scope): one with braces would tear the keys of a
    client onto several nodes of a cluster, one that is no text the store would not take at all.
    """
    name = str(text)
    if len(name) <= 200 and name.isascii() and "{" not in name and "}" not in name:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def client_in(key: str) -> str:
    return key[key.index("{") + 1 : key.index("}")] if "{" in key else key


# -- where the counts are --------------------------------------------------------------------------


Draw = tuple[str, int, int, int]  # on one limit: the rest of its key, amount, seconds, cost
# What is left of a limit, and minus the seconds until more is (or, if it refused, until it admits):
# the min() of several is the one that a client has to mind.
State = tuple[int, float]
Verdict = tuple[bool, list[State]]  # on all draws of a client; a NamedTuple takes 0.3 us to make


class Counters(dict[str, list[float]]):
    """One client: the times of its admitted requests, oldest first, by the rest of the key."""

    __slots__ = ("refused_until", "used")  # by the clock; the first only of a refused client
    refused_until: float
    used: float


class Clients(OrderedDict[str, Counters]):
    """In order of last use (a plain dict would look through what was deleted to find its first)."""

    counters = 0  # of all of them


class MemoryStore:
    """The times of the admitted requests per client and limit, for one process, bounded.

    When it is full the client that came longest ago goes; those that were refused last, while they
    hold not more than half: to free itself a limited client has to get so many others limited.
    """

    TIMES_PER_COUNTER = 10  # on average: one may hold as many as its limit admits

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._most, self._most_times = most, most * self.TIMES_PER_COUNTER
        self._longest = 0  # window, in seconds
        self._lock = threading.RLock()
        self.clear()

    def acquire(self, start: str, draws: Sequence[Draw], record: bool = True) -> Verdict:
        """Draw on all limits or on none.

        :param start: of the client's keys.
        :param record: False to look only.

        What is usual is written out: where counters exist and admit, two limits take 3 us.
        """
        with self._lock:
            now = self.clock()
            if not record:
                return self._look(start, draws, now)
            table = self._clients
            counters = table.get(start)
            if counters is None:
                table, counters = self._find(start, now)
            else:
                table.move_to_end(start)
            counters.used = now
            is_news = False
            states: list[State] = []
            for rest, amount, seconds, cost in draws:
                log = counters.get(rest)
                age: float
                if not log:
                    if log is None:
                        log = counters[rest] = []
                        table.counters += 1
                    if seconds > self._longest:
                        self._longest = seconds
                    age, is_news = -seconds, True
                else:
                    age = now - seconds - log[0]
                    if age >= 0:
                        age, is_news = self._forget(log, seconds, now), True
                left = amount - len(log) - cost
                if left < 0:
                    self._take_back(start, draws[: len(states)], rest)
                    return self._look(start, draws, now)
                log += [now] * cost
                self._times += cost
                states.append((left, age))
            if is_news or self._times > self._most_times:
                self._evict(start, draws, now)
            return True, states

    def acquire_each(self, draws: Mapping[str, Sequence[Draw]]) -> tuple[bool, list[list[State]]]:
        """Draw on limits of several clients, on all or on none."""
        with self._lock:
            verdicts = [self.acquire(start, draws[start], record=False) for start in draws]
            if all(admitted for admitted, _ in verdicts):
                verdicts = [self.acquire(start, draws[start]) for start in draws]
            return all(admitted for admitted, _ in verdicts), [states for _, states in verdicts]

    def _find(self, start: str, now: float) -> tuple[Clients, Counters]:
        """A client that is new, or was refused and may be so still."""
        counters = self._refused.get(start)
        if counters is None:
            counters = self._clients[start] = Counters()
        elif counters.refused_until > now:
            self._refused.move_to_end(start)
            return self._refused, counters
        else:
            move(start, self._refused, self._clients)
        return self._clients, counters

    def _forget(self, log: list[float], seconds: int, now: float) -> float:
        late = bisect_right(log, now - seconds)
        del log[:late]
        self._times -= late
        return now - seconds - log[0] if log else -float(seconds)

    def _look(self, start: str, draws: Sequence[Draw], now: float) -> Verdict:
        counters = self._clients.get(start) or self._refused.get(start) or Counters()
        states: list[State] = []
        wait = 0.0
        for rest, amount, seconds, cost in draws:
            log = counters.get(rest, [])
            self._forget(log, seconds, now)
            late = len(log) + cost - amount  # so many have to leave first
            if late > len(log):
                age = -float(seconds)
            else:
                age = now - seconds - log[max(late, 1) - 1] if log else 0.0
            if late > 0:
                wait = max(wait, -age)
            states.append((amount - len(log), age))
        if wait:
            counters.refused_until = max(getattr(counters, "refused_until", now), now + wait)
            if start in self._clients:
                move(start, self._clients, self._refused)
        return not wait, states

    def _evict(self, asking: str, draws: Sequence[Draw], now: float) -> None:
        """A little each time; there is no thread that sweeps."""
        clients, refused = self._clients, self._refused
        for table in (clients, refused) if refused else (clients,):
            oldest = next(iter(table), asking)
            if oldest != asking and table[oldest].used <= now - self._longest:
                self._drop(table, oldest)
        while clients.counters + refused.counters > self._most or self._times > self._most_times:
            table, other = clients, refused
            if refused.counters > self._most // 2:
                table, other = refused, clients
            oldest = next(iter(table), asking)
            if oldest == asking:
                table, oldest = other, next(iter(other), asking)
            if oldest == asking:  # nobody else is left: what it draws on now stays
                table = clients if asking in clients else refused
                for rest in table[asking].keys() - {draw[0] for draw in draws}:
                    self._drop_counter(table, asking, rest)
                return
            self._drop(table, oldest)

    def _drop(self, table: Clients, start: str) -> None:
        counters = table.pop(start)
        table.counters -= len(counters)
        self._times -= sum(map(len, counters.values()))

    def _drop_counter(self, table: Clients, start: str, rest: str) -> None:
        self._times -= len(table[start].pop(rest))
        table.counters -= 1
        if not table[start]:
            del table[start]

    def _take_back(self, start: str, drawn: Sequence[Draw], refused: str) -> None:
        for rest, _, _, cost in drawn:
            self.release(start, rest, cost)
        self.release(start, refused, 0)  # the counter goes if it is a new one

    def release(self, start: str, rest: str, cost: int = 1) -> None:
        """Forget the newest times of a counter."""
        with self._lock:
            for table in (self._clients, self._refused):
                log = table[start].get(rest) if start in table else None
                if log is not None:
                    kept = max(0, len(log) - cost)
                    self._times -= len(log) - kept
                    del log[kept:]
                if log == []:
                    self._drop_counter(table, start, rest)

    def clear(self, start: str | None = None, rest: str = "") -> None:
        """Forget one counter, or all."""
        with self._lock:
            if start is None:
                self._clients, self._refused = Clients(), Clients()
                self._times = 0
                return
            for table in (self._clients, self._refused):
                if start in table and rest in table[start]:
                    self._drop_counter(table, start, rest)


def move(start: str, old: Clients, new: Clients) -> None:
    counters = new[start] = old.pop(start)
    old.counters -= len(counters)
    new.counters += len(counters)


# Per key a list of times in microseconds, newest first, by the clock of the store, so that clocks
# of machines need not agree. All or nothing: nothing is recorded unless every limit admits.
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local counts, reply, limits = {}, {1}, {}
for number in string.gmatch(ARGV[2], '%d+') do limits[#limits + 1] = tonumber(number) end
for i, key in ipairs(KEYS) do
  local amount, window, cost = limits[3*i-2], limits[3*i-1] * 1000000, limits[3*i]
  local count = redis.pcall('LLEN', key)
  if type(count) == 'table' then  -- something else was written under our key
    if not string.find(count.err, 'WRONGTYPE', 1, true) then return count end
    redis.call('DEL', key)
    count = 0
  end
  if count > 0 and (tonumber(redis.call('LINDEX', key, 0)) or 0) <= now - window then
    redis.call('DEL', key)
    count = 0
  end
  while count > 0 and (tonumber(redis.call('LINDEX', key, -1)) or 0) <= now - window do
    redis.call('RPOP', key)
    count = count - 1
  end
  counts[i] = count
  if count + cost > amount then reply[1] = 0 end
end
for i, key in ipairs(KEYS) do
  local amount, window, cost = limits[3*i-2], limits[3*i-1] * 1000000, limits[3*i]
  local late, wait = counts[i] + cost - amount, 0
  if late > counts[i] then
    wait = window
  elseif late > 0 then
    wait = redis.call('LINDEX', key, -late) + window - now
  else
    if reply[1] == 1 and ARGV[1] == '1' then
      for _ = 1, cost do redis.call('LPUSH', key, string.format('%.0f', now)) end
      redis.call('PEXPIRE', key, window / 1000)
      counts[i] = counts[i] + cost
    end
    if counts[i] > 0 then wait = redis.call('LINDEX', key, -1) + window - now end
  end
  reply[2*i] = amount - counts[i]
  reply[2*i+1] = wait
end
return reply
"""
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class SharedStore:
    """One Redis or Valkey for all processes; while it is away, this process's part from memory.

    Nothing that the store does reaches a request: any fault is answered from memory, and a thread
    that lives as long as the fault tries again every half second, by writing, since a store that
    is full or read-only still answers a PING. That thread alone asks who is the master or which
    node has a slot: a request waits for one connection and one answer at most.
    """

    RETRY_SECONDS = 0.5

    def __init__(self, connect: Callable[[], Any], config: Mapping[str, Any], memory: MemoryStore):
        from redis import exceptions

        self._connect, self._config, self._memory = connect, config, memory
        self._client: Any = None
        self._lock = threading.Lock()
        self._outages = 0
        self._probe_key = "probe"
        self._watch: threading.Thread | None = None
        self._moved = exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError
        self._no_script = exceptions.NoScriptError
        self.down = False
        try:
            self._client = connect()
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            self._lost(error, self._probe_key, self._outages)

    def acquire(self, start: str, draws: Sequence[Draw], record: bool = True) -> Verdict:
        admitted, (states,) = self._acquire({start: draws}, record)
        return admitted, states

    def acquire_each(self, draws: Mapping[str, Sequence[Draw]]) -> tuple[bool, list[list[State]]]:
        return self._acquire(draws, record=True)

    def _acquire(
        self, draws: Mapping[str, Sequence[Draw]], record: bool
    ) -> tuple[bool, list[list[State]]]:
        outages = self._outages
        if not self.down:
            try:
                return self._ask(self._client, draws, record)
            except Exception as error:
                self._lost(error, next(iter(draws)), outages)
        elif self._watch is None or not self._watch.is_alive():  # this process was forked meanwhile
            self._start_watch()
        parts = {start: self._parts(start, draws[start]) for start in draws}
        if len(parts) > 1:
            return self._memory.acquire_each(parts)
        admitted, states = self._memory.acquire(*parts.popitem(), record)
        return admitted, [states]

    def release(self, start: str, rest: str) -> None:
        outages = self._outages
        if not self.down:
            try:  # a script: _call() finds the node of a cluster by the key in this place
                self._call(self._client, "EVAL", "redis.pcall('LPOP', KEYS[1])", 1, start + rest)
                return
            except Exception as error:
                self._lost(error, start, outages)
        self._memory.release(start, rest)

    def clear(self, start: str, rest: str) -> None:
        self._memory.clear(start, rest)
        self._client.delete(start + rest)

    def _parts(self, start: str, draws: Sequence[Draw]) -> list[Draw]:
        """This process's part of the limits: all parts together are the limit, not one more.

        What cannot be divided goes to some processes, to others for each client; to none where
        RATELIMIT_WORKER does not say which process this is.
        """
        workers, worker = int(self._config["RATELIMIT_WORKERS"]), self._config["RATELIMIT_WORKER"]
        parts = []
        for rest, amount, seconds, cost in draws:
            part, over = divmod(amount, workers)
            if over and worker is not None:
                part += (crc32(client_in(start).encode()) + int(worker)) % workers < over
            parts.append((rest, part, seconds, cost))
        return parts

    def _ask(
        self, client: Any, draws: Mapping[str, Sequence[Draw]], record: bool
    ) -> tuple[bool, list[list[State]]]:
        if len(draws) > 1 and hasattr(client, "get_node_from_key"):
            return self._ask_each(client, draws, record)
        keys = [start + draw[0] for start in draws for draw in draws[start]]
        # one argument for all numbers: to pack ten of them takes 10 us more
        numbers = " ".join([f"{d[1]} {d[2]} {d[3]}" for start in draws for d in draws[start]])
        arguments = (len(keys), *keys, "1" if record else "0", numbers)
        try:
            reply = self._call(client, "EVALSHA", SCRIPT_SHA, *arguments)
        except self._no_script:  # a store that was restarted has to be told again
            reply = self._call(client, "EVAL", SCRIPT, *arguments)
        states = iter(
            [(left, -wait / 1e6) for left, wait in zip(reply[1::2], reply[2::2], strict=True)]
        )
        return reply[0] == 1, [list(islice(states, len(draws[start]))) for start in draws]

    def _ask_each(
        self, client: Any, draws: Mapping[str, Sequence[Draw]], record: bool
    ) -> tuple[bool, list[list[State]]]:
        """Keys of several clients are on several nodes of a cluster: look at all, then draw."""
        ones = [{start: draws[start]} for start in draws]
        verdicts = [self._ask(client, one, False) for one in ones]
        if record and all(admitted for admitted, _ in verdicts):
            verdicts = [self._ask(client, one, True) for one in ones]
        return all(admitted for admitted, _ in verdicts), [states for _, (states,) in verdicts]

    def _call(self, client: Any, *command: Any) -> Any:
        if not hasattr(client, "get_node_from_key"):
            return self._exchange(client, command)
        try:  # the node itself: the cluster's client would look for the slots anew on any error
            node = client.get_redis_connection(client.get_node_from_key(command[3]))
            return self._exchange(node, command)
        except self._moved:
            return client.execute_command(*command)

    @staticmethod
    def _exchange(client: Any, command: tuple[Any, ...]) -> Any:
        """What execute_command() does without retries and events, in two thirds of its time."""
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()  # on a time-out it closes the connection itself
        finally:
            client.connection_pool.release(connection)

    def _lost(self, error: Exception, start: str, outages: int) -> None:
        with self._lock:
            if self.down or outages != self._outages:  # a late answer of an outage that is over
                return
            self.down = True
            self._outages += 1
            self._probe_key = start + ":probe"  # the same node of a cluster as what failed
        logger.error("rate_limit_store_lost, limits are held per process: %.200s", error)
        self._start_watch()

    def _start_watch(self) -> None:
        with self._lock:
            if self._watch is None or not self._watch.is_alive():
                self._watch = threading.Thread(target=self._until_back, daemon=True)
                self._watch.start()

    def _until_back(self) -> None:
        while True:
            time.sleep(self.RETRY_SECONDS)
            try:
                client = self._connect()
                self._ask(client, {self._probe_key: [("", 1_000_000, 1, 1)]}, record=True)
            except Exception:  # noqa: S112 - said once, when it was lost
                continue
            self._client = client
            logger.warning("rate_limit_store_back, limits are shared again")
            self.down = False
            return


Store = MemoryStore | SharedStore


class _Unused(Storage):
    """What Flask-Limiter wants to hold as its storage; the counts are in a Store."""

    STORAGE_SCHEME = ["rate-limiting"]  # noqa: RUF012 - as the library declares it
    base_exceptions = ValueError
    store: Store

    @property
    def storage(self) -> str:  # `flask limiter config` shows it
        return type(self.store).__name__

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError(f"only {STRATEGY} is offered")

    def get(self, key: str) -> int:
        raise NotImplementedError(f"only {STRATEGY} is offered")

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError(f"only {STRATEGY} is offered")

    def check(self) -> bool:
        return not getattr(self.store, "down", False)

    def reset(self) -> int | None:
        if isinstance(self.store, MemoryStore):
            self.store.clear()
            return None
        raise NotImplementedError  # Flask-Limiter logs it: other services may share the store

    def clear(self, key: str) -> None:
        start, brace, rest = key.partition("}")
        self.store.clear(start + brace, rest)


class MovingWindow(RateLimiter):
    """The strategy as Flask-Limiter calls it, one limit at a time, for what is not compiled."""

    def __init__(self, storage: _Unused, prefix: str) -> None:
        self.storage: _Unused = storage
        self._prefix = f"{name_in_key(prefix)}:{STRATEGY}:{KEY_VERSION}:"

    def start_of_key(self, client: object) -> str:
        """Up to the client, who stands in braces: one slot of a cluster per client."""
        return self._prefix + "{" + name_in_key(client) + "}"

    def rest_of_key(self, item: RateLimitItem, scope: str) -> str:
        return f":{name_in_key(scope)}:{item.amount}/{item.get_expiry()}"

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._ask(item, identifiers, cost, record=True)[0]

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return self._ask(item, identifiers, cost, record=False)[0]

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        _, (left, age) = self._ask(item, identifiers, 1, record=False)
        return WindowStats(time.time() - age, left)

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        client, scope = identifiers[-2:]
        self.storage.store.clear(self.start_of_key(client), self.rest_of_key(item, scope))

    def _ask(
        self, item: RateLimitItem, identifiers: Sequence[str], cost: int, record: bool
    ) -> tuple[bool, State]:
        client, scope = identifiers[-2:]
        draw = (self.rest_of_key(item, scope), item.amount, item.get_expiry(), cost)
        admitted, (state,) = self.storage.store.acquire(self.start_of_key(client), [draw], record)
        return admitted, state


# -- what a request draws on -----------------------------------------------------------------------


class Rule(NamedTuple):
    """One limit of a route, compiled: the rest of its key, and its policy's name."""

    key: str
    amount: int
    seconds: int
    cost: int
    name: str
    scope: str
    limit: RuntimeLimit


class Plan(NamedTuple):
    """All limits of one route and method, compiled when it is first asked for."""

    rules: tuple[Rule, ...]
    draws: tuple[Draw, ...]  # the same, for the store
    policy: str  # RateLimit-Policy
    view: str  # whose decorated limits are among them


def plan_of(rules: Iterable[Rule], view: str = "") -> Plan:
    rules = tuple(rules)
    policies = (f'"{rule.name}";q={rule.amount};w={rule.seconds}' for rule in rules)
    return Plan(rules, tuple(rule[:4] for rule in rules), ", ".join(policies), view)


Drawn = tuple[Plan, str, list[State]]  # what a request drew on: the start of its keys, what is left


class TooManyRequests(RateLimitExceeded):
    """429 with Retry-After, as problem+json where the application renders no errors itself."""

    def __init__(self, limit: RuntimeLimit, policies: list[str], wait: float) -> None:
        super().__init__(limit)
        self.retry_after = max(1, ceil(wait))
        self.problem = {"type": QUOTA_EXCEEDED, "violated-policies": policies}
        self.description = f"Too many requests ({self.description}): retry in {self.retry_after} s."

    def get_headers(self, *_: Any) -> list[tuple[str, str]]:
        content_type = "application/problem+json"
        return [("Content-Type", content_type), ("Retry-After", str(self.retry_after))]

    def get_body(self, *_: Any) -> str:
        title = {"title": self.name, "status": 429, "detail": self.description}
        return json.dumps(self.problem | title)


class Limiter(flask_limiter.Limiter):
    """The module's `limiter`: Flask-Limiter's, holding what views and blueprints declare.

    Each application has an AppLimiter, which shares these declarations and nothing else.
    """

    def limit(self, limit_value: str | Callable[[], str], **options: Any) -> RouteLimit:
        """As Flask-Limiter's, but a bad limit is a ValueError here and not a 500 per request."""
        check_limits("@limiter.limit", limit_value)
        return super().limit(limit_value, **options)

    def shared_limit(
        self, limit_value: str | Callable[[], str], scope: Any, **options: Any
    ) -> RouteLimit:
        """As Flask-Limiter's, but a bad limit is a ValueError here and not a 500 per request."""
        check_limits("@limiter.shared_limit", limit_value)
        return super().shared_limit(limit_value, scope, **options)

    def identify_request(self) -> str:
        return request.endpoint or UNMATCHED

    def _check_request_limit(
        self, callable_name: str | None = None, in_middleware: bool = True
    ) -> None:
        mine = current_app.extensions.get("rate_limiting")
        if mine is not None:
            mine._check_request_limit(callable_name, in_middleware)

    @property
    def current_limit(self) -> flask_limiter.RequestLimit | None:
        mine = current_app.extensions.get("rate_limiting")
        return None if mine is None else mine.current_limit

    @property
    def current_limits(self) -> list[flask_limiter.RequestLimit]:
        mine = current_app.extensions.get("rate_limiting")
        return [] if mine is None else mine.current_limits


class AppLimiter(flask_limiter.Limiter):
    """The limits of one application; `app.extensions["rate_limiting"]`.

    The limits of a route are compiled once, so that a request costs one step in the store and no
    parsing. What cannot be compiled (a limit, cost or key from a function, exempt_when) is resolved
    by the library per request, on the same counters; deduct_when, on_breach and meta limits are
    also evaluated by it, one limit at a time.
    """

    def __init__(self, app: Flask, declared: Limiter, store: Store, prefix: str) -> None:
        super().__init__(
            declared._key_func,
            strategy="fixed-window",  # replaced below: the library would ask its storage for it
            storage_uri="rate-limiting://",
            request_identifier=declared.identify_request,
        )
        self.store = store
        self._plans: dict[tuple[str | None, str], Plan | None] = {}
        self._request_filters = declared._request_filters
        self._marked_for_limiting = declared._marked_for_limiting
        for name in (
            "_decorated_limits",
            "_blueprint_limits",
            "_route_exemptions",
            "_blueprint_exemptions",
            "_endpoint_hints",
        ):
            setattr(self.limit_manager, name, getattr(declared.limit_manager, name))
        app.extensions.setdefault("limiter", set()).add(self)  # so it registers no hooks of its own
        self.init_app(app)
        uri = str(app.config["RATELIMIT_STORAGE_URI"])
        self._storage_uri = re.sub("//.*@", "//", uri)  # `flask limiter config` shows it
        self._storage = storage = _Unused()
        storage.store = store
        self._strategy = STRATEGY
        self._window = self._limiter = MovingWindow(storage, prefix)
        start = self._window.start_of_key("")[:-1]
        self._start_of_key = lru_cache(8192)(lambda address: start + client_of(address) + "}")
        self._hints = self.limit_manager._endpoint_hints
        self._draws_on = lru_cache(256)(self._compile_draws)

    # what other code may ask

    @property
    def state(self) -> str:
        """Where the counts are: "memory", "shared", or "fallback" while the store is away."""
        if isinstance(self.store, MemoryStore):
            return "memory"
        return "fallback" if self.store.down else "shared"

    @property
    def degraded(self) -> bool:
        return self.state == "fallback"

    def acquire(self, scope: str, limits: str, key: str, record: bool = True) -> float:
        """Draw on limits that belong to no route.

        :param scope: what is limited, such as "authentication".
        :param limits: such as "20 per minute".
        :param key: who is limited.
        :returns: 0.0 if admitted, and counted; otherwise the seconds to wait.
        """
        start = self._window.start_of_key(key)
        admitted, states = self.store.acquire(start, self._draws_on(scope, limits), record)
        return 0.0 if admitted else max(-age for left, age in states if left < 1)

    def _compile_draws(self, scope: str, limits: str) -> list[Draw]:
        items = parse_limits(limits)
        return [(self._window.rest_of_key(i, scope), i.amount, i.get_expiry(), 1) for i in items]

    def peek(self, scope: str, limits: str, key: str) -> float:
        """What acquire() would return, counting nothing."""
        return self.acquire(scope, limits, key, record=False)

    def release(self, scope: str, limits: str, key: str) -> None:
        """Hand back what acquire() has just counted: it was none of what is limited."""
        start = self._window.start_of_key(key)
        for rest, *_ in self._draws_on(scope, limits):
            self.store.release(start, rest)

    @property
    def current_limits(self) -> list[flask_limiter.RequestLimit]:
        """The limits drawn on in this request, as Flask-Limiter gives them."""
        found = []
        for plan, start, states in request.environ.get("rate_limiting.drawn", ()):
            for rule, (left, age) in zip(plan.rules, states, strict=True):
                limit, key = rule.limit, [client_in(start), rule.scope]
                one = flask_limiter.RequestLimit(
                    self, limit.limit, key, left < rule.cost, limit.shared
                )
                one._window = WindowStats(time.time() - age, left)
                found.append(one)
        return found or self.context.view_rate_limits

    @property
    def current_limit(self) -> flask_limiter.RequestLimit | None:
        """The limit of this request with the least left."""
        return min(self.current_limits, key=lambda limit: limit.remaining, default=None)

    # the way of a request

    def check(self) -> None:
        """before_request: draw on all limits of the route at once.

        What is written out here for speed, in us of 38 for bare Flask: one look-up of the request
        instead of six 1.0; the start of the keys remembered per address 1.3; the plan, instead of
        what Flask-Limiter does, 60.
        """
        asked = request._get_current_object()  # type: ignore[attr-defined]
        environ, rule = asked.environ, asked.url_rule
        for is_exempt in self._request_filters:
            if is_exempt():
                return
        if environ["REQUEST_METHOD"] == "OPTIONS" and is_preflight():
            return
        route = (rule.endpoint, asked.method) if rule is not None else (None, "")
        try:
            plan = self._plans[route]
        except KeyError:
            plan = self._plans[route] = self._compile()
        if plan is None or route[0] in self._hints:
            super()._check_request_limit()
            return
        if plan.view:
            environ["rate_limiting.view"] = plan.view
        if plan.draws:
            start = self._start_of_key((environ.get("REMOTE_ADDR") or "")[:64])
            admitted, states = self.store.acquire(start, plan.draws)
            drawn = environ["rate_limiting.drawn"] = [(plan, start, states)]
            if not admitted:
                self._refuse_drawn(drawn)

    def _check_request_limit(
        self, callable_name: str | None = None, in_middleware: bool = True
    ) -> None:
        """Called by a decorated view: its limits were drawn on, unless they are not compiled."""
        if not callable_name or request.environ.get("rate_limiting.view") != callable_name:
            super()._check_request_limit(callable_name, in_middleware)

    def _draw_each(self, plan: Plan) -> None:
        """Draw where every limit may have a client of its own."""
        rules: dict[str, dict[str, Rule]] = {}
        for rule in plan.rules:
            start = self._window.start_of_key(rule.limit.key_func() or client_key())
            rules.setdefault(start, {}).setdefault(rule.key, rule)
        if rules:
            plans = {start: plan_of(rules[start].values()) for start in rules}
            admitted, states = self.store.acquire_each({s: plans[s].draws for s in plans})
            drawn = list(zip(plans.values(), plans, states, strict=True))
            request.environ.setdefault("rate_limiting.drawn", []).extend(drawn)
            if not admitted:
                self._refuse_drawn(drawn)

    def _refuse_drawn(self, drawn: list[Drawn]) -> NoReturn:
        refused = [
            (rule, -age)
            for plan, _, states in drawn
            for rule, (left, age) in zip(plan.rules, states, strict=True)
            if left < rule.cost
        ]
        policies = [rule.name for rule, _ in refused]
        self._refuse(refused[0][0].limit, policies, max(wait for _, wait in refused))

    def _refuse(self, limit: RuntimeLimit, policies: list[str], wait: float) -> NoReturn:
        request.environ["security_event"] = {"event": "rate_limited", "policies": policies}
        raise TooManyRequests(limit, policies, wait)

    def _deduct(self, response: Response) -> Response:
        self._Limiter__check_conditional_deductions(response)  # type: ignore[attr-defined]
        return response

    # compiling

    def _compile(self) -> Plan | None:
        """The plan of the current route; None where the library has to look at every request."""
        self._warn_of_processes()
        manager, endpoint, blueprint = self.limit_manager, request.endpoint, request.blueprint
        view = current_app.view_functions.get(endpoint or "")
        name = get_qualified_name(view) if view else ""
        groups = [*manager._application_limits, *manager._default_limits]
        groups += manager._decorated_limits.get(name, ())
        for member in (blueprint or "").split("."):
            groups += manager._blueprint_limits.get(member, ())
        if any(callable(group.limit_provider) for group in groups):
            return None
        marked = name in self._marked_for_limiting
        limits: list[RuntimeLimit] = []
        for first in (True, False) if marked else (True,):  # before the view, and around it
            for found in manager.resolve_limits(
                current_app, endpoint or UNMATCHED, blueprint, name, first, marked
            ):
                limits += found
        if self._evaluated_by_library(limits) or not all(map(self._is_plain, limits)):
            return None
        return self._plan(limits, endpoint or UNMATCHED, name)

    def _warn_of_processes(self) -> None:
        if self.state == "memory" and request.environ.get("wsgi.multiprocess") and not self._plans:
            logger.error(
                "rate_limits_multiplied: several processes serve, and each counts for itself: set "
                "RATELIMIT_STORAGE_URI to redis://host:6379, or serve with one worker"
            )

    def _plan(self, limits: Iterable[RuntimeLimit], endpoint: str, view: str) -> Plan:
        rules: dict[tuple[str, Any], Rule] = {}
        taken: Counter[str] = Counter()
        defaults = self.limit_manager.default_limits
        applications = self.limit_manager.application_limits
        for limit in sorted(limits, key=lambda limit: limit.limit.get_expiry()):
            if limit.method_exempt:
                continue
            scope = limit.scope_for(endpoint, request.method)
            key, item = self._window.rest_of_key(limit.limit, scope), limit.limit
            if (key, limit.key_func) in rules:
                continue
            kind = "default" if limit in defaults else "route"
            if limit in applications:
                kind = "application"
            taken[kind] += 1
            policy = kind if taken[kind] == 1 else f"{kind}-{taken[kind]}"
            cost = limit.deduction_amount
            rule = Rule(key, item.amount, item.get_expiry(), cost, policy, scope, limit)
            rules[key, limit.key_func] = rule
        return plan_of(rules.values(), view)

    def _is_plain(self, limit: RuntimeLimit) -> bool:
        from_functions = (limit.exempt_when, callable(limit.cost), callable(limit.scope))
        return limit.key_func is client_key and not any(from_functions)

    def _evaluated_by_library(self, limits: Iterable[RuntimeLimit]) -> bool:
        return bool(self._meta_limits or self._on_breach) or any(
            limit.meta_limits or limit.deduct_when or limit.on_breach for limit in limits
        )

    # the library's own way, with its gaps closed; private methods, so the range is pinned

    def _Limiter__check_all_limits_exempt(self, endpoint: str | None) -> bool:
        return is_preflight() or any(f() for f in self._request_filters)  # not "*.static"

    def _Limiter__evaluate_limits(self, endpoint: str, limits: list[RuntimeLimit]) -> None:
        due = [limit for limit in limits if not limit.is_exempt]
        if not self._evaluated_by_library(due):
            self._draw_each(self._plan(due, endpoint, view=""))
            return
        after_this_request(self._deduct)
        try:
            super()._Limiter__evaluate_limits(endpoint, limits)  # type: ignore[misc]
        except RateLimitExceeded as refusal:
            if refusal.response is not None:
                raise
            breached = [one for one in self.context.view_rate_limits if one.breached]
            wait = max(one.window.reset_time for one in breached) - time.time()
            self._refuse(refusal.limit, ["route"], wait)


class HeadersLayer:
    """Writes RateLimit-Policy and RateLimit on every answer whose request drew on a limit.

    A layer and not an after_request function: that costs 4 us more, and is skipped when another
    one raises.
    """

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            drawn = environ.get("rate_limiting.drawn")
            if drawn:
                headers += headers_of(drawn)
            return start_response(status, headers, exc_info)

        return self.wsgi_app(environ, start)


def headers_of(drawn: list[Drawn]) -> list[tuple[str, str]]:
    """RateLimit-Policy, and RateLimit for the limit with the least left."""
    (plan, _, states), *others = drawn
    if others:
        plan = plan_of(rule for one in drawn for rule in one[0].rules)
        states = [state for one in drawn for state in one[2]]
    least = left, age = min(states)
    limit = f'"{plan.rules[states.index(least)].name}";r={left};t={ceil(-age) or 1}'
    return [("RateLimit-Policy", plan.policy), ("RateLimit", limit)]


def is_preflight() -> bool:
    """A browser's question (Fetch standard) that Flask answers: nobody's budget pays for it."""
    if request.method != "OPTIONS":
        return False
    if not getattr(request.url_rule, "provide_automatic_options", True):  # None: an unknown path
        return False  # the view's own code runs
    return "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


limiter = Limiter(client_key)


# -- configuration ---------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Parse "200 per hour;50 per minute".

    :raises ValueError: where the library would raise one, or an amount or a window is 0.
    """
    items = tuple(dict.fromkeys(parse_many(text)))
    if any(item.amount < 1 for item in items) or re.search(r"(/|per)\s*0+\s*[a-z]", text, re.I):
        raise ValueError(text)
    return items


def check_limits(name: str, value: object) -> None:
    if callable(value):
        return
    try:
        parse_limits(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(
            f"{name}: {value!r} is no limit: write for example '200 per hour;50 per minute'"
        ) from None


def whole_number(app: Flask, key: str, default: int) -> int:
    value = app.config.setdefault(key, default)
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) < 1:
        raise ValueError(f"{key}: {value!r} is no whole number of at least 1, such as {default}")
    return int(value)


def make_store(app: Flask) -> Store:
    """The store that RATELIMIT_STORAGE_URI names.

    :raises ValueError: if it is unknown, cannot be read, lacks its client library, or is memory
        while RATELIMIT_WORKERS says that several processes serve.
    """
    uri = str(app.config.setdefault("RATELIMIT_STORAGE_URI", "memory://"))
    workers = whole_number(app, "RATELIMIT_WORKERS", 1)
    if not str(app.config.setdefault("RATELIMIT_WORKER", None) or 0).isdecimal():
        raise ValueError(
            f"RATELIMIT_WORKER: {app.config['RATELIMIT_WORKER']!r} is no number from 0"
        )
    memory = MemoryStore(whole_number(app, "RATELIMIT_MEMORY_COUNTERS", 100_000))
    scheme = uri.partition("://")[0].replace("valkey", "redis", 1)  # the same protocol
    if scheme == "memory":
        if workers > 1:
            raise ValueError(
                f"RATELIMIT_STORAGE_URI: 'memory://' with {workers} workers admits {workers} times "
                "each limit: write redis://host:6379, or serve with one worker"
            )
        return memory
    if scheme not in REDIS_SCHEMES:
        raise ValueError(
            f"RATELIMIT_STORAGE_URI: the scheme {scheme!r} is not supported: write memory:// or "
            + ", ".join(f"{known}://" for known in REDIS_SCHEMES)
        )
    options = redis_options(app, scheme)
    uri = scheme + uri[uri.index("://") :]
    try:
        return SharedStore(lambda: connect(uri, options), app.config, memory)
    except TypeError as error:
        raise ValueError(f"RATELIMIT_STORAGE_OPTIONS: {error}: remove what is unknown") from None
    except Exception as error:  # without its text: it may show the password
        raise ValueError(
            f"RATELIMIT_STORAGE_URI: cannot be read ({type(error).__name__}): write for example "
            "redis://:password@host:6379/0, special characters as %40"
        ) from None


def connect(uri: str, options: dict[str, Any]) -> Any:
    """Make a client of the store: of its master of now, or with its cluster's slots of now.

    With Sentinel and Cluster this can take several time-outs: not for the way of a request.
    """
    storage: Any = storage_from_string(uri, **options)
    client = storage.get_connection()
    if hasattr(storage, "sentinel"):
        host, port = storage.sentinel.discover_master(storage.service_name)
        client = type(client)(host=host, port=port, **storage.sentinel.connection_kwargs)
    if hasattr(client, "connection_pool"):
        client.connection_pool.make_connection()  # connects nothing, but knows its options
    return client


def redis_options(app: Flask, scheme: str) -> dict[str, Any]:
    """Short time-outs, no retries, and nothing to say before the first question."""
    try:
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ValueError(
            f"RATELIMIT_STORAGE_URI: {scheme}:// needs the client library: pip install redis"
        ) from None
    try:
        from redis.driver_info import DriverInfo  # noqa: F401 - redis-py 7.1 and later have it

        quiet: dict[str, Any] = {"driver_info": None, "protocol": 2}
    except ImportError:
        quiet = {"lib_name": None, "lib_version": None, "protocol": 2}
    seconds = app.config.setdefault("RATELIMIT_STORAGE_TIMEOUT", 0.25)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 10:
        raise ValueError(
            f"RATELIMIT_STORAGE_TIMEOUT: {seconds!r} is no number of seconds above 0, such as 0.25"
        )
    own = app.config.setdefault("RATELIMIT_STORAGE_OPTIONS", {})
    if not isinstance(own, dict):
        raise ValueError(
            f"RATELIMIT_STORAGE_OPTIONS: {own!r} is no mapping: write for example "
            + '{"username": "limits"}'
        )
    timeouts = {"socket_connect_timeout": seconds * 0.4, "socket_timeout": seconds * 0.6}
    brief = {**timeouts, "retry": Retry(NoBackoff(), 0), **quiet}
    if scheme == "redis+sentinel":
        own = {**own, "sentinel_kwargs": {**brief, **own.get("sentinel_kwargs", {})}}
    return {**brief, **own}


def configure_rate_limiting(app: Flask) -> None:
    """Limit the requests of each client, by the keys in the table above.

    :raises ValueError: if a key cannot be used; the message names it, its value and the remedy.
    """
    enabled = app.config.setdefault("RATELIMIT_ENABLED", True)
    if not isinstance(enabled, bool):
        raise ValueError(f"RATELIMIT_ENABLED: {enabled!r} is neither true nor false")
    if not enabled:
        return
    for key in ("RATELIMIT_DEFAULT", "RATELIMIT_APPLICATION"):
        if app.config.get(key) is not None:
            check_limits(key, app.config[key])
    strategy = app.config.get("RATELIMIT_STRATEGY", STRATEGY)
    if strategy != STRATEGY:
        raise ValueError(
            f"RATELIMIT_STRATEGY: {strategy!r} admits up to twice the limit around the edge of a "
            f"window: write {STRATEGY!r}, or remove the key"
        )
    for key in ("RATELIMIT_IN_MEMORY_FALLBACK", "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"):
        if app.config.get(key):
            raise ValueError(f"{key}: a fallback is built in: remove the key")
    prefix = str(app.config.get("RATELIMIT_KEY_PREFIX") or app.name)
    mine = AppLimiter(app, limiter, make_store(app), prefix)
    app.extensions["rate_limiting"] = mine
    app.before_request(mine.check)
    if app.config.setdefault("RATELIMIT_HEADERS_ENABLED", True):
        app.wsgi_app = HeadersLayer(app.wsgi_app)  # type: ignore[method-assign]
