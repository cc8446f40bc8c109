"""Lua scripts that run inside Redis: each is one atomic trip for many payments.

Redis keeps, with `PREFIX`

    recording      a hash: since, until (only after a fill), sequence
    id:ID          `ID_HEADER`, origin and destination, then "c" and the claim, or "f" and the
                   answer; without accounts where the claim had expired before its answer came
    account:NAME   `fraud.stores.encoding`
    fraud:ID       nothing: a payment that was counted as fraud

A payment without a destination names the key `NO_ACCOUNT`, which is never written.

Numbers are doubles in Lua, exact up to 2^53: sums of cents end there. Its bit operations are those
of 32 bits: a sketch is two numbers.
"""

from struct import calcsize

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import MAX_GAP_MS
from fraud.stores.encoding import TOTALS
from fraud.stores.script_functions import ACCOUNT, DAYS, IDS, NO_ACCOUNT
from fraud.windows import DAY_HOURS, HOUR_HOURS

# A payment in binary: digest, event_time, cents; sketches of destination and origin as
# counterparties.
PAYMENT = "<16sQQQQ"

# A claim in binary: sequence, late, recording since; totals of origin and destination.
CLAIMED = "<QBQ" + 2 * TOTALS

# KEYS: recording; id, origin and destination of each payment.
# ARGV: now, ms to keep an id, ms to keep an account; each `PAYMENT`.
# Returns the value of each id, or nothing where the id is another payment's.
CLAIM = ACCOUNT + DAYS + f"""
local HOUR_MS, DAY_MS = {HOUR_MS}, {DAY_MS}
local NO_TOTALS = string.rep('\\0', {calcsize("<" + TOTALS)})
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

-- Returns the totals of an account before a payment; the account with the payment, without the
-- buckets that leave its windows; whether the payment is late.
local function counted(account, event_time, hour, day, a, b, c, d, low, high)
  local newest, last_sent, last_received, hours, days, first, A, B, C, D, L, H =
    unpack(HEADER, account)
  local days_start = HOURS_START + hours * HOUR_SIZE
  local frauds_start = days_start + days * DAY_SIZE

  local oldest = max(hour, floor(newest / HOUR_MS)) - {DAY_HOURS}
  local from, own, behind = HOURS_START, nil, days_start
  local h1, h2, h3, h4, d1, d2, d3, d4 = 0, 0, 0, 0, 0, 0, 0, 0
  local o1, o2, o3, o4 = a, b, c, d
  for at = HOURS_START, days_start - 1, HOUR_SIZE do
    local number, s, t, u, v = unpack(HOUR, account, at)
    if number > hour then behind = at break end
    if number <= oldest then
      from = at + HOUR_SIZE
    elseif number > hour - {DAY_HOURS} then
      d1, d2, d3, d4 = d1 + s, d2 + t, d3 + u, d4 + v
      if number > hour - {HOUR_HOURS} then
        h1, h2, h3, h4 = h1 + s, h2 + t, h3 + u, h4 + v
        if number == hour then own, o1, o2, o3, o4 = at, o1 + s, o2 + t, o3 + u, o4 + v end
      end
    end
  end
  local hourly = sub(account, from, (own or behind) - 1)
  if hour > oldest then
    hourly = hourly .. pack(HOUR, hour, o1, min(o2, LARGEST), o3, min(o4, LARGEST))
  end

  hours = (#hourly + days_start - behind) / HOUR_SIZE

  local today = floor(newest / DAY_MS)
  local own_bytes, sums, rest      -- of `TOTALS`, `EARLIER` afterwards, all behind the own hour
  if day == today then
    own_bytes = sub(account, OWN_START, HOURS_START - 1)
    sums, rest = sub(account, EARLIER_START, HOURS_START - 1), sub(account, behind)
  else
    local section = sub(account, days_start, frauds_start - 1)
    local first_before, sums_before
    if day > today then
      section, first, sums = with_today(section, first, today, day, A, B, C, D, L, H)
      A, B, C, D, L, H = 0, 0, 0, 0, 0, 0
      first_before, sums_before = first, sums
    else
      first_before, sums_before = earlier_of(section, day)
      section = with_day(section, today, day, a, b, c, d, low, high)
      first, sums = earlier_of(section, today)
      if first == 0 then first = today end
    end
    own_bytes = pack(OWN, last_sent, last_received, 0, 0, first_before, 0, 0, 0, 0, 0, 0)
      .. sums_before
    days = #section / DAY_SIZE
    rest = sub(account, behind, days_start - 1) .. section .. sub(account, frauds_start)
  end
  if day >= today then
    if first == 0 then first = day end
    A, B, C, D = A + a, min(B + b, LARGEST), C + c, min(D + d, LARGEST)
    L, H = bor(L, low), bor(H, high)
  end
  local totals = pack(HOUR_AND_DAY, h1, h2, h3, h4, d1, d2, d3, d4) .. own_bytes
    .. frauds_before(account, frauds_start, day)
  if a > 0 then last_sent = max(last_sent, event_time) end
  if c > 0 then last_received = max(last_received, event_time) end
  return totals, pack(HEADER, max(newest, event_time), last_sent, last_received, hours, days, first,
                      A, B, C, D, L, H) .. sums .. hourly .. rest, event_time < newest
end

local since, sequence = recording()
local replies, accounts, values = {{}}, {{}}, values_of(KEYS, 2)
for i = 1, #ARGV - 3 do
  local id, origin, destination = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local payment = ARGV[i + 3]
  local digest = sub(payment, 1, 16)
  local known = values[id]
  if known then
    replies[i] = sub(known, 1, 16) == digest and known or ''
  else
    local event_time, cents, to_low, to_high, from_low, from_high =
      unpack('<I8I8IIII', payment, 17)
    local hour, day = floor(event_time / HOUR_MS), floor(event_time / DAY_MS)
    local before, after, late, late_too
    local sender = accounts[origin] or values[origin] or EMPTY
    if origin == destination then
      before, accounts[origin], late = counted(sender, event_time, hour, day,
                                               1, cents, 1, cents, to_low, to_high)
      after = before
    else
      before, accounts[origin], late = counted(sender, event_time, hour, day,
                                               1, cents, 0, 0, to_low, to_high)
      if destination == '{NO_ACCOUNT}' then
        after = NO_TOTALS
      else
        local receiver = accounts[destination] or values[destination] or EMPTY
        after, accounts[destination], late_too = counted(receiver, event_time, hour, day,
                                                         0, 0, 1, cents, from_low, from_high)
      end
    end
    sequence = sequence + 1
    values[id] = digest .. pack('<HH', #origin - #'{NO_ACCOUNT}', #destination - #'{NO_ACCOUNT}')
      .. sub(origin, #'{NO_ACCOUNT}' + 1) .. sub(destination, #'{NO_ACCOUNT}' + 1)
      .. 'c' .. pack('<I8BI8', sequence, (late or late_too) and 1 or 0, since) .. before .. after
    redis.call('SET', id, values[id], 'PX', id_ttl)
    replies[i] = values[id]
  end
end
keep(accounts, account_ttl)
redis.call('HSET', KEYS[1], 'sequence', sequence)
return replies
"""

# KEYS: fraud, origin and destination of each known fraud.
# ARGV: ms to keep a fraud, ms to keep an account; of each the day on which it became known.
# Returns 1 for each that was counted now, 0 where it was counted before.
LABEL = ACCOUNT + f"""
local function labelled(account, day, sent, received)
  local _, _, _, hours, days = unpack(HEADER, account)
  local start = HOURS_START + hours * HOUR_SIZE + days * DAY_SIZE
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

local replies, accounts, values = {{}}, {{}}, values_of(KEYS, 1)
for i = 1, #ARGV - 2 do
  local fraud, origin, destination = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local day = tonumber(ARGV[i + 2])
  replies[i] = 0
  if redis.call('SET', fraud, '', 'NX', 'PX', ARGV[1]) then
    accounts[origin] = labelled(accounts[origin] or values[origin] or EMPTY, day, 1, 0)
    if destination ~= '{NO_ACCOUNT}' then
      local receiver = accounts[destination] or values[destination] or EMPTY
      accounts[destination] = labelled(receiver, day, 0, 1)
    end
    replies[i] = 1
  end
end
keep(accounts, ARGV[2])
return replies
"""

# KEYS: ids. ARGV: ms to keep them; of each the digest and an answer.
# Returns index and answer, one after the other, of each that had an answer before.
FINISH = IDS + """
local kept = {}
for i, id in ipairs(KEYS) do
  local digest, answer, known = ARGV[2 * i], ARGV[2 * i + 1], redis.call('GET', id)
  if not known then
    redis.call('SET', id, digest .. struct.pack('<HH', 0, 0) .. 'f' .. answer, 'PX', ARGV[1])
  elseif string.sub(known, 1, 16) == digest then
    local position = result_position(known)
    if string.sub(known, position, position) == 'f' then
      kept[#kept + 1], kept[#kept + 2] = i - 1, string.sub(known, position + 1)
    else
      local head = string.sub(known, 1, position - 1)
      redis.call('SET', id, head .. 'f' .. answer, 'PX', ARGV[1])
    end
  end
end
return kept
"""

# KEYS: recording. ARGV: since, until. Returns 0 where payments have been recorded already.
FILL = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'since', ARGV[1], 'until', ARGV[2], 'sequence', 0)
return 1
"""
