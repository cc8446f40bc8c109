"""Lua functions that scripts of Redis share, on the values that `fraud.stores.scripts` lists."""

import struct

from fraud.stores.account import DAY, FRAUDS, HEADER, HOUR, TOTALS
from fraud.windows import MONTH_DAYS

NO_ACCOUNT = "fraud:account:"

# The head of the value of an id: digest of the payment; lengths of origin and destination in bytes.
ID_HEADER = "<16sHH"

# Functions on the value of an id.
IDS = f"""
-- Returns the position of the claim or answer, with its kind ahead.
local function result_position(value)
  local origin, destination = struct.unpack('<HH', value, 17)
  return {struct.calcsize(ID_HEADER) + 1} + origin + destination
end
"""

# Functions on an account: header, hourly buckets, daily buckets, known frauds.
ACCOUNT = f"""
local HOUR, HOUR_SIZE = '{HOUR}', {struct.calcsize(HOUR)}
local DAY, DAY_SIZE = '{DAY}', {struct.calcsize(DAY)}
local FRAUDS, FRAUDS_SIZE = '{FRAUDS}', {struct.calcsize(FRAUDS)}
local HEADER, HEADER_SIZE, TOTALS = '{HEADER}', {struct.calcsize(HEADER)}, '<{TOTALS}'
local MONTH = {MONTH_DAYS}
local pack, unpack, sub, floor, max = struct.pack, struct.unpack, string.sub, math.floor, math.max
local bor = bit.bor
local EMPTY = pack(HEADER, 0, 0, 0, 0, 0)
local accounts = {{}}

local function account_of(key)
  if key == '{NO_ACCOUNT}' then return EMPTY end
  local account = accounts[key] or redis.call('GET', key) or EMPTY
  accounts[key] = account
  return account
end

local function keep_accounts(ttl)
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
