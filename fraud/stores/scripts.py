"""Lua scripts that run inside Redis: each is one atomic trip for many payments.

Redis keeps, with the prefix `fraud:`

    recording      a hash: since, until (only after a fill), sequence
    id:ID          digest of the payment (16 bytes), then "c" and its claim, or "f" and its answer
    account:NAME   `fraud.stores.account.encode`

A payment without a destination names the key `NO_ACCOUNT`, which is never written.

Numbers are doubles in Lua, exact up to 2^53: cents are therefore two numbers.
"""

import struct

from fraud.history import BUCKET_MS, DAY_BUCKETS, HOUR_BUCKETS, MAX_GAP_MS
from fraud.stores.account import BUCKET, SUMS_IN_LIMBS

NO_ACCOUNT = "fraud:account:"

# A claim in binary: sequence, late, recording since; sums of hour and day of origin, destination.
CLAIMED = "<dBd" + 4 * SUMS_IN_LIMBS

# KEYS: recording; id, origin and destination of each payment.
# ARGV: now, ms to keep an id, ms to keep an account; of each payment the digest and, as doubles,
# event_time, limbs and remainder of the cents.
# Returns the value of each id, without the digest, or "r" where the id is another payment's.
CLAIM = f"""
local HOUR, DAY, BUCKET_MS = {HOUR_BUCKETS}, {DAY_BUCKETS}, {BUCKET_MS}
local BUCKET, SIZE, WINDOWS = '{BUCKET}', {struct.calcsize(BUCKET)}, '<{2 * SUMS_IN_LIMBS}'
local pack, unpack, sub, floor = struct.pack, struct.unpack, string.sub, math.floor
local now, id_ttl, account_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local accounts = {{}}

local function account_of(key)
  if key == '{NO_ACCOUNT}' then return pack('<d', 0) end
  local account = accounts[key] or redis.call('GET', key) or pack('<d', 0)
  accounts[key] = account
  return account
end

local function recording()
  local kept = redis.call('HMGET', KEYS[1], 'since', 'until', 'sequence')
  local since, filled_until = tonumber(kept[1]), tonumber(kept[2])
  if not since or filled_until then
    if not since or now > filled_until + {MAX_GAP_MS} then since = now end
    redis.call('HSET', KEYS[1], 'since', since)
    redis.call('HDEL', KEYS[1], 'until')
  end
  return since, tonumber(kept[3] or 0)
end

-- Returns the sums of the hour and of the day before a payment in a bucket.
local function before(account, bucket)
  local h1, h2, h3, h4, h5, h6, d1, d2, d3, d4, d5, d6 = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  for at = 9, #account, SIZE do
    local number, a, b, c, d, e, f = unpack(BUCKET, account, at)
    if number <= bucket and number > bucket - DAY then
      d1, d2, d3, d4, d5, d6 = d1 + a, d2 + b, d3 + c, d4 + d, d5 + e, d6 + f
      if number > bucket - HOUR then
        h1, h2, h3, h4, h5, h6 = h1 + a, h2 + b, h3 + c, h4 + d, h5 + e, h6 + f
      end
    end
  end
  return h1, h2, h3, h4, h5, h6, d1, d2, d3, d4, d5, d6
end

-- Returns the account with the sums of a payment added, without the buckets that leave its day.
local function added(account, event_time, bucket, a, b, c, d, e, f)
  local newest = math.max(unpack('<d', account), event_time)
  local oldest = floor(newest / BUCKET_MS) - DAY
  local last, number = #account - SIZE + 1, nil      -- the last bucket before the payment's
  while last > 8 do
    number = unpack('<I', account, last)
    if number <= bucket then break end
    last = last - SIZE
  end
  local after = last + SIZE
  if last > 8 and number == bucket then
    local _, A, B, C, D, E, F = unpack(BUCKET, account, last)
    a, b, c, d, e, f = a + A, b + B, c + C, d + D, e + E, f + F
    last = last - SIZE
  end
  local first = 9
  while first <= last and unpack('<I', account, first) <= oldest do first = first + SIZE end
  local new = bucket > oldest and pack(BUCKET, bucket, a, b, c, d, e, f) or ''
  return pack('<d', newest) .. sub(account, first, last + SIZE - 1) .. new .. sub(account, after)
end

local since, sequence = recording()
local replies = {{}}
for i = 1, #ARGV - 3 do
  local id, origin, destination = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local payment = ARGV[i + 3]
  local digest = sub(payment, 1, 16)
  local known = redis.call('GET', id)
  if known then
    replies[i] = sub(known, 1, 16) == digest and sub(known, 17) or 'r'
  else
    local event_time, limbs, remainder = unpack('<ddd', payment, 17)
    local bucket = floor(event_time / BUCKET_MS)
    local sender, receiver = account_of(origin), account_of(destination)
    local late = event_time < unpack('<d', sender) or event_time < unpack('<d', receiver)
    sequence = sequence + 1
    local kept = 'c' .. pack('<dBd', sequence, late and 1 or 0, since)
      .. pack(WINDOWS, before(sender, bucket)) .. pack(WINDOWS, before(receiver, bucket))
    accounts[origin] = added(sender, event_time, bucket, 1, limbs, remainder, 0, 0, 0)
    if destination ~= '{NO_ACCOUNT}' then
      accounts[destination] =
        added(accounts[destination], event_time, bucket, 0, 0, 0, 1, limbs, remainder)
    end
    redis.call('SET', id, digest .. kept, 'PX', id_ttl)
    replies[i] = kept
  end
end
for key, account in pairs(accounts) do
  redis.call('SET', key, account, 'PX', account_ttl)
end
redis.call('HSET', KEYS[1], 'sequence', sequence)
return replies
"""

# KEYS: ids. ARGV: ms to keep them; of each the digest, "f" and an answer.
# Returns the answer that was kept before, or nothing where there was none.
FINISH = """
local replies = {}
for i, id in ipairs(KEYS) do
  local new, known = ARGV[i + 1], redis.call('GET', id)
  if known and string.sub(known, 1, 17) == string.sub(new, 1, 17) then
    replies[i] = string.sub(known, 18)
  elseif known and string.sub(known, 1, 16) ~= string.sub(new, 1, 16) then
    replies[i] = ''
  else
    redis.call('SET', id, new, 'PX', ARGV[1])
    replies[i] = ''
  end
end
return replies
"""

# KEYS: recording. ARGV: since, until. Returns 0 where payments have been recorded already.
FILL = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'since', ARGV[1], 'until', ARGV[2], 'sequence', 0)
return 1
"""
