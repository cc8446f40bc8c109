"""Lua functions that scripts of Redis share, on the values that `fraud.stores.scripts` lists."""

import struct

from fraud.packing import LARGEST
from fraud.stores import buckets, encoding
from fraud.windows import MONTH_DAYS, WEEK_DAYS

PREFIX = f"fraud:{encoding.VERSION}:"       # of all keys: an earlier encoding is never misread
NO_ACCOUNT = PREFIX + "account:"

# The head of the value of an id: digest of the payment; lengths of origin and destination in bytes.
ID_HEADER = "<16sHH"

# The formats of `fraud.stores.encoding` for Lua, which writes a Q as I8, and a sketch in halves:
# its bit operations are those of 32 bits.
SUMS = "II8II8"
SKETCH = "II"
TODAY = SUMS + SKETCH
OWN = "I8I8HHI" + TODAY         # the bytes of a header that are part of `TOTALS`
HEADER = "<I8" + OWN
EARLIER = "<" + 2 * SUMS + 2 * SKETCH
HOUR = "<I" + SUMS
DAY = "<I" + TODAY
FRAUD_TOTALS = "<IIII"

# Functions on the value of an id.
IDS = f"""
-- Returns the position of the claim or answer, with its kind ahead.
local function result_position(value)
  local origin, destination = struct.unpack('<HH', value, 17)
  return {struct.calcsize(ID_HEADER) + 1} + origin + destination
end
"""

# Functions on an account: header with today, past, hourly buckets, daily buckets, known frauds.
ACCOUNT = f"""
local HEADER, OWN, EARLIER = '{HEADER}', '<{OWN}', '{EARLIER}'
local HOUR, DAY, FRAUDS, HOUR_AND_DAY = '{HOUR}', '{DAY}', '{buckets.FRAUDS.format}', '<{2 * SUMS}'
local OWN_START, EARLIER_START = 9, {encoding.HEADER.size + 1}
local HOUR_SIZE, DAY_SIZE = {encoding.HOUR.size}, {encoding.DAY.size}
local FRAUDS_SIZE, HOURS_START = {buckets.FRAUDS.size}, {encoding.HOURS_START + 1}
local MONTH, LARGEST = {MONTH_DAYS}, {LARGEST}
local table_unpack = unpack
local pack, unpack, sub, floor = struct.pack, struct.unpack, string.sub, math.floor
local min, max, bor = math.min, math.max, bit.bor
local EMPTY = string.rep('\\0', HOURS_START - 1)

-- Returns the values of the keys from a position on, by key.
local function values_of(keys, from)
  local values = {{}}
  for i, value in ipairs(redis.call('MGET', table_unpack(keys, from))) do
    values[keys[from + i - 1]] = value
  end
  return values
end

local function keep(accounts, ttl)
  for key, account in pairs(accounts) do
    redis.call('SET', key, account, 'PX', ttl)
  end
end

-- Splits a section of an account at a bucket: the buckets after `oldest` and before it, the
-- position of the bucket itself or nil, the buckets behind it.
local function split(section, size, bucket, oldest)
  local last, own = #section - size + 1, nil
  while last > 0 and unpack('<I', section, last) > bucket do last = last - size end
  local behind = last + size
  if last > 0 and unpack('<I', section, last) == bucket then own, last = last, last - size end
  local first = 1
  while first <= last and unpack('<I', section, first) <= oldest do first = first + size end
  return sub(section, first, last + size - 1), own, sub(section, behind)
end
"""

# Functions on the days of an account and its known frauds.
DAYS = f"""
local NO_FRAUDS = string.rep('\\0', {struct.calcsize(FRAUD_TOTALS)})

-- Returns the first of the days up to a day in its month, 0 if there is none; `EARLIER` of them.
local function earlier_of(days, day)
  local first, w1, w2, w3, w4, m1, m2, m3, m4 = 0, 0, 0, 0, 0, 0, 0, 0, 0
  local week_low, week_high, month_low, month_high = 0, 0, 0, 0
  for at = 1, #days, DAY_SIZE do
    local number, a, b, c, d, low, high = unpack(DAY, days, at)
    if number > day then break end
    if number > day - MONTH then
      if first == 0 then first = number end
      m1, m2, m3, m4 = m1 + a, m2 + b, m3 + c, m4 + d
      month_low, month_high = bor(month_low, low), bor(month_high, high)
      if number > day - {WEEK_DAYS} then
        w1, w2, w3, w4 = w1 + a, w2 + b, w3 + c, w4 + d
        week_low, week_high = bor(week_low, low), bor(week_high, high)
      end
    end
  end
  return first, pack(EARLIER, w1, w2, w3, w4, m1, m2, m3, m4,
                     week_low, week_high, month_low, month_high)
end

-- Returns the frauds of week and month before a payment of this day.
local function frauds_before(account, frauds_start, day)
  if frauds_start > #account then return NO_FRAUDS end
  local week_sent, week_received, sent, received = 0, 0, 0, 0
  for at = frauds_start, #account, FRAUDS_SIZE do
    local number, a, b = unpack(FRAUDS, account, at)
    if number <= day and number > day - MONTH then
      sent, received = sent + a, received + b
      if number > day - {WEEK_DAYS} then
        week_sent, week_received = week_sent + a, week_received + b
      end
    end
  end
  return pack('{FRAUD_TOTALS}', week_sent, week_received, sent, received)
end

-- Returns days before today with a payment added to one of them, if it is in the month of today.
local function with_day(days, today, day, a, b, c, d, low, high)
  if day <= today - MONTH then return days end
  local ahead, at, behind = split(days, DAY_SIZE, day, today - MONTH)
  if at then
    local _, s, t, u, v, l, h = unpack(DAY, days, at)
    a, b, c, d, low, high = a + s, b + t, c + u, d + v, bor(low, l), bor(high, h)
  end
  return ahead .. pack(DAY, day, a, min(b, LARGEST), c, min(d, LARGEST), low, high) .. behind
end

-- Returns days with the former today at their end, without those that leave the month of a later
-- day; the first of them, and `EARLIER` of them.
local function with_today(days, first, today, day, a, b, c, d, low, high)
  if first > 0 then
    days = split(days .. pack(DAY, today, a, b, c, d, low, high), DAY_SIZE, day, day - MONTH)
  end
  return days, earlier_of(days, day)
end
"""
