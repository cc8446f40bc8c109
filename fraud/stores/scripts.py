"""Lua scripts that run inside Redis: each is one atomic trip for many payments.

Redis keeps, with the prefix `fraud:`

    recording      a hash: since, until (only after a fill), sequence
    id:ID          `ID_HEADER`, origin and destination, then "c" and the claim, or "f" and the
                   answer; without accounts where the claim had expired before its answer came
    account:NAME   `fraud.stores.account.encode`
    fraud:ID       nothing: a payment that was counted as fraud

A payment without a destination names the key `NO_ACCOUNT`, which is never written.

Numbers are doubles in Lua, exact up to 2^53: cents are therefore two numbers. Its bit operations
are those of 32 bits: a sketch is therefore two numbers.
"""

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import MAX_GAP_MS
from fraud.stores.account import TOTALS
from fraud.stores.script_functions import ACCOUNT, IDS, NO_ACCOUNT
from fraud.windows import DAY_HOURS, HOUR_HOURS, WEEK_DAYS

# A payment in binary: digest, event_time, limbs and remainder of the cents; sketches of destination
# and origin as counterparties, each its low half first.
PAYMENT = "<16sdddIIII"

# A claim in binary: sequence, late, recording since; totals of origin and destination.
CLAIMED = "<dBd" + 2 * TOTALS

# KEYS: recording; id, origin and destination of each payment.
# ARGV: now, ms to keep an id, ms to keep an account; each `PAYMENT`.
# Returns claim or answer of each id, with its kind ahead, or "r" where the id is another payment's.
CLAIM = ACCOUNT + IDS + f"""
local HOUR_MS, DAY_MS = {HOUR_MS}, {DAY_MS}
local now, id_ttl, account_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3]

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

-- Returns the totals of an account before a payment in these buckets.
local function before(account, hour, day)
  local _, last_sent, last_received, hours, days = unpack(HEADER, account)
  local days_start = HEADER_SIZE + 1 + hours * HOUR_SIZE
  local frauds_start = days_start + days * DAY_SIZE
  local h1, h2, h3, h4, h5, h6, d1, d2, d3, d4, d5, d6 = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  for at = HEADER_SIZE + 1, days_start - 1, HOUR_SIZE do
    local number, a, b, c, d, e, f = unpack(HOUR, account, at)
    if number <= hour and number > hour - {DAY_HOURS} then
      d1, d2, d3, d4, d5, d6 = d1 + a, d2 + b, d3 + c, d4 + d, d5 + e, d6 + f
      if number > hour - {HOUR_HOURS} then
        h1, h2, h3, h4, h5, h6 = h1 + a, h2 + b, h3 + c, h4 + d, h5 + e, h6 + f
      end
    end
  end
  local w1, w2, w3, w4, w5, w6, m1, m2, m3, m4, m5, m6 = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local first, week_low, week_high, month_low, month_high = 0, 0, 0, 0, 0
  for at = days_start, frauds_start - 1, DAY_SIZE do
    local number, a, b, c, d, e, f, low, high = unpack(DAY, account, at)
    if number <= day and number > day - MONTH then
      if first == 0 then first = number end
      m1, m2, m3, m4, m5, m6 = m1 + a, m2 + b, m3 + c, m4 + d, m5 + e, m6 + f
      month_low, month_high = bor(month_low, low), bor(month_high, high)
      if number > day - {WEEK_DAYS} then
        w1, w2, w3, w4, w5, w6 = w1 + a, w2 + b, w3 + c, w4 + d, w5 + e, w6 + f
        week_low, week_high = bor(week_low, low), bor(week_high, high)
      end
    end
  end
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
  return pack(TOTALS, h1, h2, h3, h4, h5, h6, d1, d2, d3, d4, d5, d6, w1, w2, w3, w4, w5, w6,
              m1, m2, m3, m4, m5, m6, last_sent, last_received, first, week_low, week_high,
              month_low, month_high, week_sent, week_received, sent, received)
end

-- Returns the account with a payment added, without the buckets that leave its windows.
local function added(account, event_time, hour, day, a, b, c, d, e, f, low, high)
  local newest, last_sent, last_received, hours, days = unpack(HEADER, account)
  local days_start = HEADER_SIZE + 1 + hours * HOUR_SIZE
  local frauds_start = days_start + days * DAY_SIZE
  newest = max(newest, event_time)
  if a > 0 then last_sent = max(last_sent, event_time) end
  if d > 0 then last_received = max(last_received, event_time) end

  local oldest = floor(newest / HOUR_MS) - {DAY_HOURS}
  local section = sub(account, HEADER_SIZE + 1, days_start - 1)
  local ahead, own, behind = split(section, HOUR_SIZE, hour, oldest)
  local new = ''
  if hour > oldest then
    local _, A, B, C, D, E, F = 0, 0, 0, 0, 0, 0, 0
    if own then _, A, B, C, D, E, F = unpack(HOUR, section, own) end
    new = pack(HOUR, hour, a + A, b + B, c + C, d + D, e + E, f + F)
  end
  local hourly = ahead .. new .. behind

  oldest = floor(newest / DAY_MS) - MONTH
  section = sub(account, days_start, frauds_start - 1)
  ahead, own, behind = split(section, DAY_SIZE, day, oldest)
  new = ''
  if day > oldest then
    local _, A, B, C, D, E, F, L, H = 0, 0, 0, 0, 0, 0, 0, 0, 0
    if own then _, A, B, C, D, E, F, L, H = unpack(DAY, section, own) end
    new = pack(DAY, day, a + A, b + B, c + C, d + D, e + E, f + F, bor(low, L), bor(high, H))
  end
  local daily = ahead .. new .. behind
  return pack(HEADER, newest, last_sent, last_received, #hourly / HOUR_SIZE, #daily / DAY_SIZE)
    .. hourly .. daily .. sub(account, frauds_start)
end

local since, sequence = recording()
local replies = {{}}
for i = 1, #ARGV - 3 do
  local id, origin, destination = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local payment = ARGV[i + 3]
  local digest = sub(payment, 1, 16)
  local known = redis.call('GET', id)
  if known then
    replies[i] = sub(known, 1, 16) == digest and sub(known, result_position(known)) or 'r'
  else
    local event_time, limbs, remainder, to_low, to_high, from_low, from_high =
      unpack('<dddIIII', payment, 17)
    local hour, day = floor(event_time / HOUR_MS), floor(event_time / DAY_MS)
    local sender, receiver = account_of(origin), account_of(destination)
    local late = event_time < unpack('<d', sender) or event_time < unpack('<d', receiver)
    sequence = sequence + 1
    local kept = 'c' .. pack('<dBd', sequence, late and 1 or 0, since)
      .. before(sender, hour, day) .. before(receiver, hour, day)
    accounts[origin] =
      added(sender, event_time, hour, day, 1, limbs, remainder, 0, 0, 0, to_low, to_high)
    if destination ~= '{NO_ACCOUNT}' then
      accounts[destination] = added(accounts[destination], event_time, hour, day,
                                    0, 0, 0, 1, limbs, remainder, from_low, from_high)
    end
    local names = sub(origin, #'{NO_ACCOUNT}' + 1) .. sub(destination, #'{NO_ACCOUNT}' + 1)
    local lengths = pack('<HH', #origin - #'{NO_ACCOUNT}', #destination - #'{NO_ACCOUNT}')
    redis.call('SET', id, digest .. lengths .. names .. kept, 'PX', id_ttl)
    replies[i] = kept
  end
end
keep_accounts(account_ttl)
redis.call('HSET', KEYS[1], 'sequence', sequence)
return replies
"""

# KEYS: fraud, origin and destination of each known fraud.
# ARGV: ms to keep a fraud, ms to keep an account; of each the day on which it became known.
# Returns 1 for each that was counted now, 0 where it was counted before.
LABEL = ACCOUNT + f"""
local function labelled(account, day, sent, received)
  local _, _, _, hours, days = unpack(HEADER, account)
  local start = HEADER_SIZE + 1 + hours * HOUR_SIZE + days * DAY_SIZE
  local section = sub(account, start)
  local newest = day
  if #section > 0 then newest = max(day, unpack('<I', section, #section - FRAUDS_SIZE + 1)) end
  local ahead, own, behind = split(section, FRAUDS_SIZE, day, newest - MONTH)
  local new = ''
  if day > newest - MONTH then
    local _, S, R = 0, 0, 0
    if own then _, S, R = unpack(FRAUDS, section, own) end
    new = pack(FRAUDS, day, sent + S, received + R)
  end
  return sub(account, 1, start - 1) .. ahead .. new .. behind
end

local replies = {{}}
for i = 1, #ARGV - 2 do
  local fraud, origin, destination = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local day = tonumber(ARGV[i + 2])
  replies[i] = 0
  if redis.call('SET', fraud, '', 'NX', 'PX', ARGV[1]) then
    accounts[origin] = labelled(account_of(origin), day, 1, 0)
    if destination ~= '{NO_ACCOUNT}' then
      accounts[destination] = labelled(account_of(destination), day, 0, 1)
    end
    replies[i] = 1
  end
end
keep_accounts(ARGV[2])
return replies
"""

# KEYS: ids. ARGV: ms to keep them; of each the digest and an answer.
# Returns the answer that was kept before, or nothing where there was none.
FINISH = IDS + """
local replies = {}
for i, id in ipairs(KEYS) do
  local digest, answer, known = ARGV[2 * i], ARGV[2 * i + 1], redis.call('GET', id)
  replies[i] = ''
  if not known then
    redis.call('SET', id, digest .. struct.pack('<HH', 0, 0) .. 'f' .. answer, 'PX', ARGV[1])
  elseif string.sub(known, 1, 16) == digest then
    local position = result_position(known)
    if string.sub(known, position, position) == 'f' then
      replies[i] = string.sub(known, position + 1)
    else
      local head = string.sub(known, 1, position - 1)
      redis.call('SET', id, head .. 'f' .. answer, 'PX', ARGV[1])
    end
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
