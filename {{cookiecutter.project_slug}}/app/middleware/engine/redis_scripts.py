"""The steps of redis_counters.py, as Redis and Valkey run them: each is atomic, in one round trip.

The commands are those of Redis 6.0 and later, and of Valkey.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    text: str
    sha: str


def script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# Per key a list of numbers: the total, then for each slice its last time (microseconds, by the
# clock of the store, so that clocks of machines need not agree) and its count, newest first.
# ARGV: whether to record; amount, seconds and cost of each key. All or nothing: nothing is recorded
# unless every limit admits. Reply: admitted, the time, and for each key what remains and the wait.
ACQUIRE = script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamp = string.format('%.0f', now)
local limits, totals, oldest, reply = {}, {}, {}, {1, now}
for number in string.gmatch(ARGV[2], '%d+') do limits[#limits + 1] = tonumber(number) end
for i, key in ipairs(KEYS) do
  local amount, window, cost = limits[3*i-2], limits[3*i-1] * 1000000, limits[3*i]
  local start, total, gone = now - window, redis.pcall('LINDEX', key, 0), 0
  if type(total) == 'table' then  -- something else was written under our key
    if not string.find(total.err, 'WRONGTYPE', 1, true) then return total end
    redis.call('DEL', key)
    total = false
  end
  if total then
    total = tonumber(total)
    local newest = tonumber(redis.call('LINDEX', key, 1)) or 0
    local ahead = newest - now
    if ahead > 0 then  -- the clock went back, or that of the node that took over is behind
      for place, item in ipairs(redis.call('LRANGE', key, 0, -1)) do
        if place % 2 == 0 then
          redis.call('LSET', key, place - 1, string.format('%.0f', item - ahead))
        end
      end
    end
    oldest[i] = tonumber(redis.call('LINDEX', key, -2))
    if not total or not oldest[i] or (oldest[i] <= start and newest <= start) then
      redis.call('DEL', key)
      total = false
    else
      while oldest[i] <= start do
        total = total - redis.call('LINDEX', key, -1 - 2*gone)
        gone = gone + 1
        oldest[i] = tonumber(redis.call('LINDEX', key, -2 - 2*gone))
      end
      if gone > 0 then
        redis.call('LTRIM', key, 0, -1 - 2*gone)
        redis.call('LSET', key, 0, total)
      end
    end
  end
  totals[i] = total
  if (total or 0) + cost > amount then reply[1] = 0 end
end
for i, key in ipairs(KEYS) do
  local amount, window, cost = limits[3*i-2], limits[3*i-1] * 1000000, limits[3*i]
  local total, wait = totals[i] or 0, 0
  local over = total + cost - amount
  if over > total then
    wait = window
  elseif over > 0 then
    local place = 0
    while over > 0 do
      over = over - redis.call('LINDEX', key, -1 - 2*place)
      place = place + 1
    end
    wait = redis.call('LINDEX', key, -2*place) + window - now
  else
    if reply[1] == 1 and ARGV[1] == '1' then
      local width, newest = window / 64, amount > 64 and totals[i] and redis.call('LINDEX', key, 1)
      if newest and math.floor(newest / width) == math.floor(now / width) then
        redis.call('LSET', key, 1, stamp)
        redis.call('LSET', key, 2, redis.call('LINDEX', key, 2) + cost)
        redis.call('LSET', key, 0, total + cost)
        if oldest[i] == tonumber(newest) then oldest[i] = now end
      elseif totals[i] then
        redis.call('LSET', key, 0, cost)
        redis.call('LPUSH', key, stamp, total + cost)
      else
        redis.call('RPUSH', key, cost, stamp, cost)
        oldest[i] = now
      end
      redis.call('PEXPIRE', key, window / 1000)
      total = total + cost
    end
    if total > 0 then wait = oldest[i] + window - now end
  end
  reply[2*i+1] = amount - total
  reply[2*i+2] = wait
end
return reply
""")

# Hands back what is still in its window. ARGV: the stamp of what was counted, or 0 for the newest;
# the window in seconds and the cost of each key.
RELEASE = script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local stamp, numbers = tonumber(ARGV[1]), {}
for number in string.gmatch(ARGV[2], '%d+') do numbers[#numbers + 1] = tonumber(number) end
for i, key in ipairs(KEYS) do
  local items, place = redis.pcall('LRANGE', key, 0, -1), nil
  if not items.err and (stamp == 0 or stamp > now - numbers[2*i-1] * 1000000) then
    for at = stamp == 0 and 2 or #items - 1, 2, -2 do
      if tonumber(items[at]) >= stamp then place = at break end
    end
  end
  if place then
    local count = tonumber(items[place + 1])
    local cost = math.min(count, numbers[2*i])
    redis.call('LSET', key, 0, items[1] - cost)
    if cost < count then
      redis.call('LSET', key, place, count - cost)
    elseif #items == 3 then
      redis.call('DEL', key)
    else
      redis.call('LSET', key, place - 1, '')
      redis.call('LSET', key, place, '')
      redis.call('LREM', key, 2, '')
    end
  end
end
return 1
""")
