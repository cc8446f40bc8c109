"""What runs inside Redis, in Lua: each script is one atomic trip for many payments.

Redis keeps, with the prefix `fraud:`

    recording      a hash: since, until (only after a fill), sequence
    id:ID          digest of the payment (16 bytes), then "c" and its claim, or "f" and its answer
    account:NAME   `fraud.stores.account.encode`: newest, then seven numbers a bucket

Numbers are doubles in Lua: exact up to 2^53, which is why cents come as two of them.
"""

from fraud.history import BUCKET_MS, DAY_BUCKETS, HOUR_BUCKETS, MAX_GAP_MS

# KEYS: recording; id, origin and destination of each payment.
# ARGV: now, ms to keep an id, ms to keep an account; of each payment its digest and, as doubles,
# event_time, cents in limbs, rest of the cents.
# Returns what is kept under each id, without the digest, or "r" where the id is another payment's.
CLAIM = f"""
local HOUR, DAY, BUCKET_MS = {HOUR_BUCKETS}, {DAY_BUCKETS}, {BUCKET_MS}
local now, id_ttl, account_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local accounts = {{}}

local function account_of(key)
  local account = accounts[key]
  if not account then
    local kept = redis.call('GET', key)
    account = kept and cmsgpack.unpack(kept) or {{0}}
    accounts[key] = account
  end
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

-- Appends the sums of the hour and of the day before a payment in a bucket.
local function put_before(seen, account, bucket)
  local h1, h2, h3, h4, h5, h6, d1, d2, d3, d4, d5, d6 = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  for i = 2, #account, 7 do
    local number = account[i]
    if number <= bucket and number > bucket - DAY then
      local a, b, c = account[i + 1], account[i + 2], account[i + 3]
      local d, e, f = account[i + 4], account[i + 5], account[i + 6]
      d1, d2, d3, d4, d5, d6 = d1 + a, d2 + b, d3 + c, d4 + d, d5 + e, d6 + f
      if number > bucket - HOUR then
        h1, h2, h3, h4, h5, h6 = h1 + a, h2 + b, h3 + c, h4 + d, h5 + e, h6 + f
      end
    end
  end
  local n = #seen
  seen[n + 1], seen[n + 2], seen[n + 3], seen[n + 4], seen[n + 5], seen[n + 6] =
    h1, h2, h3, h4, h5, h6
  seen[n + 7], seen[n + 8], seen[n + 9], seen[n + 10], seen[n + 11], seen[n + 12] =
    d1, d2, d3, d4, d5, d6
end

-- The place of a bucket in an account; opening it forgets those that fall out of the day.
local function place_of(key, bucket)
  local account = accounts[key]
  for i = #account - 6, 2, -7 do
    if account[i] == bucket then return i end
  end
  local oldest = math.floor(account[1] / BUCKET_MS) - DAY
  local kept = {{account[1]}}
  for i = 2, #account, 7 do
    if account[i] > oldest then
      for j = i, i + 6 do kept[#kept + 1] = account[j] end
    end
  end
  accounts[key] = kept
  if bucket <= oldest then return nil end
  local place = #kept + 1
  kept[place] = bucket
  for j = place + 1, place + 6 do kept[j] = 0 end
  return place
end

local function add(key, event_time, bucket, offset, limbs, rest)
  local account = accounts[key]
  if event_time > account[1] then account[1] = event_time end
  local place = place_of(key, bucket)
  if not place then return end
  account = accounts[key]
  account[place + offset] = account[place + offset] + 1
  account[place + offset + 1] = account[place + offset + 1] + limbs
  account[place + offset + 2] = account[place + offset + 2] + rest
end

local since, sequence = recording()
local replies = {{}}
for i = 1, #ARGV - 3 do
  local id, origin, destination = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local payment = ARGV[i + 3]
  local digest = string.sub(payment, 1, 16)
  local known = redis.call('GET', id)
  if known then
    replies[i] = string.sub(known, 1, 16) == digest and string.sub(known, 17) or 'r'
  else
    local event_time, limbs, rest = struct.unpack('<ddd', payment, 17)
    local bucket = math.floor(event_time / BUCKET_MS)
    local sender, receiver = account_of(origin), account_of(destination)
    local late = event_time < sender[1] or event_time < receiver[1]
    sequence = sequence + 1
    local claim = {{sequence, late and 1 or 0, since}}
    put_before(claim, sender, bucket)
    put_before(claim, receiver, bucket)
    add(origin, event_time, bucket, 1, limbs, rest)
    add(destination, event_time, bucket, 4, limbs, rest)
    local kept = 'c' .. cmsgpack.pack(claim)
    redis.call('SET', id, digest .. kept, 'PX', id_ttl)
    replies[i] = kept
  end
end
for key, account in pairs(accounts) do
  redis.call('SET', key, cmsgpack.pack(account), 'PX', account_ttl)
end
redis.call('HSET', KEYS[1], 'sequence', sequence)
return replies
"""

# KEYS: ids. ARGV: ms to keep them; of each its digest, "f" and an answer.
# Returns the answer that was kept before, or nothing where the new one is to be used.
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
